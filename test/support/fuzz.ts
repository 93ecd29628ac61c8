/**
 * Requests that a careless or hostile client could send, made from the OpenAPI document: for each operation a good
 * request first, and then something wrong with it. Equal seeds and numbers make equal requests.
 */
import type { OpenAPIObject } from '@nestjs/swagger';

/** mulberry32: small, and the same everywhere. */
class Dice {
  constructor(private state: number) {}

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  bytes(n: number): Buffer {
    return Buffer.from(Array.from({ length: n }, () => this.below(256)));
  }
}

interface Schema {
  $ref?: string;
  allOf?: Schema[];
  enum?: unknown[];
  example?: unknown;
  type?: string | string[];
  properties?: Record<string, Schema>;
}

export interface Operation {
  name: string;
  method: string;
  path: string;
  query: string[];
  body?: { fields: string[]; good: Record<string, unknown> };
}

export function operationsOf(document: OpenAPIObject): Operation[] {
  const resolve = ({ $ref, allOf, ...own }: Schema): Schema => {
    const parts = [...(allOf ?? []), ...($ref === undefined ? [] : [named($ref)])];
    return Object.assign({}, ...parts.map(resolve), own) as Schema;
  };
  const named = (ref: string): Schema =>
    document.components?.schemas?.[ref.split('/').at(-1) as string] as Schema;
  const goodOf = (schema: Schema): unknown => schema.example ?? schema.enum?.[0] ?? 'text';
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item as Record<string, Documented>).map(([method, { parameters = [], requestBody }]) => {
      const operation: Operation = {
        name: `${method.toUpperCase()} ${path}`,
        method: method.toUpperCase(),
        path,
        query: parameters.filter((one) => one.in === 'query').map(({ name }) => name),
      };
      const schema = requestBody?.content['application/json']?.schema;
      if (!schema) return operation;
      const { properties = {} } = resolve(schema);
      const good = Object.entries(properties).map(([name, field]) => [name, goodOf(resolve(field))]);
      operation.body = {
        fields: Object.keys(properties),
        good: Object.fromEntries(good) as Record<string, unknown>,
      };
      return operation;
    }),
  );
}

interface Documented {
  parameters?: { in: string; name: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}

/** A request while it is being spoilt. What is left undefined is filled in when it is turned into bytes. */
interface Draft {
  method: string;
  target: string;
  version: string;
  headers: [name: string, value: string][];
  body?: Buffer;
  type?: string;
  length?: string;
  chunked?: boolean;
}

export interface FuzzRequest {
  number: number;
  operation: string;
  /** What is wrong with it. */
  flaws: string[];
  bytes: Buffer;
  /** The sender disconnects before it has sent everything, so it may get no answer. */
  unfinished: boolean;
  head: boolean;
}

const LONGEST_BODY = 262_144;

/** Values where others are expected, as JSON text, since some of them are no JavaScript values. */
const JUNK = [
  ...['null', 'true', '0', '-0', '-1', '1.5', '1e308', '1e999', '-1e999', '9007199254740993', '""', '" "'],
  ...['"\\u0000"', '"\\ud800"', '"\\udfff x"', '"\\uffff"', '"🦊"', '"\\r\\nX-Evil: 1"', '[]', '{}', '[[]]'],
  ...[
    '[null]',
    '{"a":1}',
    '{"__proto__":{"polluted":true}}',
    '{"constructor":{"prototype":{"polluted":true}}}',
  ],
  ...['{"toString":"polluted"}', '{"toJSON":"polluted"}', '{"hasOwnProperty":1}', '{"then":"polluted"}'],
  ...['{"length":4294967296}', '{"$ref":"#"}', '{"":""}', '{"a.b":{"c":[]}}', '"../../etc/passwd"', '"%00"'],
];
const KEYS = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty', 'then', 'toJSON'],
  ...[
    '',
    '\0',
    '\ud800',
    'a/b~c',
    '$where',
    'length',
    'id',
    'v',
    'version',
    '__defineGetter__',
    'x'.repeat(2000),
  ],
];
const TYPES = [
  ...[
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
  ],
  ...['application/json; charset=utf-16', 'application/json;;;', 'application/', '/', 'json', '', '\xff'],
  ...[
    'application/json, application/json',
    'a'.repeat(4000),
    'application/json; charset=',
    'text/json',
    '*/*',
  ],
];
const TEXTS = [
  ...[
    '',
    ' ',
    '%',
    '%0',
    '%00',
    '%0a%0d',
    '%ff',
    '%ed%a0%80',
    '%2e%2e%2f',
    '..',
    '../..',
    '.',
    '//',
    '\\',
    '*',
  ],
  ...[
    'null',
    'undefined',
    'NaN',
    '-1',
    '0',
    '1e999',
    '0x10',
    '9'.repeat(400),
    '[]',
    '{}',
    '%5B%5D',
    '__proto__',
  ],
  ...[
    'constructor',
    'toString',
    "'",
    '"',
    '<script>',
    '%F0%9F%A6%8A',
    'a'.repeat(300),
    'a'.repeat(5000),
    '%252f',
  ],
  ...[
    'WyIxIiwxXQ',
    'WzFlOTk5LCJ4Il0',
    'W10',
    'e30',
    'MS0x',
    'OTk5OTk5OTk5OTk5OTk5LTk5OTk5OTk5OTk5OTk5OQ',
    '=',
    '+',
  ],
];
const HEADERS = [
  ...[
    'X-Request-ID',
    'X-Correlation-ID',
    'traceparent',
    'If-Match',
    'Idempotency-Key',
    'Authorization',
    'Accept',
  ],
  ...[
    'Expect',
    'Range',
    'Origin',
    'Cookie',
    'Upgrade',
    'Connection',
    'Host',
    'X-Forwarded-For',
    'Last-Event-ID',
  ],
  ...[
    'Content-Encoding',
    'Accept-Encoding',
    'X-HTTP-Method-Override',
    'TE',
    'If-None-Match',
    'If-Modified-Since',
  ],
];
const VALUES = [
  ...[
    '',
    ' ',
    '"',
    '"0"',
    '"1"',
    '"999999999999999"',
    'W/"1"',
    '*',
    '*/*',
    'gzip',
    'identity',
    'keep-alive, Upgrade',
  ],
  ...[
    'websocket',
    '100-continue',
    'bytes=0-',
    'Bearer',
    'Bearer ',
    'Basic YTpi',
    'null',
    '\xe4\xf6\xfc',
    '\t',
    '\x7f',
  ],
  ...[
    '00-00000000000000000000000000000000-0000000000000000-00',
    'x'.repeat(128),
    'x'.repeat(129),
    '__proto__',
    ',',
  ],
  ...[
    'x'.repeat(9000),
    'x'.repeat(17_000),
    '127.0.0.1',
    '::1',
    'not:a:host:at:all',
    'a b',
    'GET',
    '-1',
    '(){:;};',
  ],
];
const METHODS = [
  ...[
    'GET',
    'HEAD',
    'POST',
    'PUT',
    'PATCH',
    'DELETE',
    'OPTIONS',
    'TRACE',
    'PROPFIND',
    'QUERY',
    'BREW',
    'get',
    '',
  ],
];

type Flaws = Record<string, (draft: Draft, dice: Dice, operation: Operation) => void>;

/** What can be wrong with a body. Each takes a draft and spoils it. */
const BODY_FLAWS: Flaws = {
  'a field of the wrong kind': (draft, dice, operation) => {
    const fields = goodFields(operation);
    fields[dice.below(Math.max(1, fields.length))] = field(
      dice.pick(operation.body?.fields ?? ['type']),
      dice.pick(JUNK),
    );
    draft.body = object(fields);
  },
  'a field missing or twice': (draft, dice, operation) => {
    const fields = goodFields(operation);
    fields.splice(dice.below(fields.length + 1), 1, ...(dice.below(2) ? [fields[0] ?? '"a":1'] : []));
    draft.body = object(fields);
  },
  'a key that nobody asked for': (draft, dice, operation) => {
    const stranger = field(dice.pick(KEYS), dice.pick(JUNK));
    const inside = dice.below(2) === 0;
    draft.body = object([...goodFields(operation), inside ? `"metadata":{${stranger}}` : stranger]);
  },
  'a key behind an escape': (draft, dice, operation) => {
    const key = dice.pick(['"\\u005f_proto__"', '"__pr\\u006fto__"', '"\\u0063onstructor"']);
    draft.body = object([...goodFields(operation), `"metadata":{"a":[{${key}:{"polluted":true}}]}`]);
  },
  'no object': (draft, dice) => {
    draft.body = Buffer.from(dice.pick(JUNK));
  },
  'JSON that was cut or hit': (draft, dice, operation) => {
    const bytes = object(goodFields(operation));
    const at = dice.below(bytes.length);
    if (dice.below(2)) draft.body = bytes.subarray(0, at);
    else {
      bytes[at] = dice.below(256);
      draft.body = bytes;
    }
  },
  'bytes at random': (draft, dice) => {
    draft.body = dice.bytes(dice.below(2000));
  },
  'bad UTF-8': (draft, dice, operation) => {
    const [head = '', tail = ''] = `{${[...goodFields(operation), '"metadata":{"a":"|"}'].join(',')}}`.split(
      '|',
    );
    const bad = [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0x80]];
    draft.body = Buffer.concat([Buffer.from(head), Buffer.from(dice.pick(bad)), Buffer.from(tail)]);
  },
  'deep nesting': (draft, dice, operation) => {
    const [open, close] = dice.pick([
      ['[', ']'],
      ['{"a":', '}'],
      ['[{"a":', '}]'],
    ] as const);
    const levels = dice.pick([
      30,
      33,
      1000,
      20_000,
      Math.floor(LONGEST_BODY / (open.length + close.length)) - 60,
    ]);
    const deep = `${open.repeat(levels)}1${dice.below(4) ? close.repeat(levels) : ''}`;
    draft.body = dice.below(2) ? Buffer.from(deep) : object([...goodFields(operation), `"metadata":${deep}`]);
  },
  'something huge': (draft, dice, operation) => {
    const room = LONGEST_BODY - 2000 + dice.below(4000);
    const fields = operation.body?.fields ?? ['type'];
    const huge = [
      () => object([...goodFields(operation), field(dice.pick(fields), `"${'x'.repeat(room)}"`)]),
      () => object([...goodFields(operation), `"metadata":{"\\u0061":[${'0,'.repeat(room / 2 - 200)}0]}`]),
      () => Buffer.from(`["\\u0061"${',[]'.repeat(room / 3 - 100)}]`),
      () => object(Array.from({ length: room / 12 }, (_, i) => `"k${i}":0`)),
      () => object([...goodFields(operation), `"metadata":{"n":${'9'.repeat(room)}}`]),
      () => Buffer.from(`{"type":"${'\\u0000'.repeat(room / 6 - 100)}"}`),
      () => Buffer.alloc(room, 0x20),
    ];
    draft.body = dice.pick(huge)();
  },
  'the wrong content type': (draft, dice) => {
    draft.type = dice.pick(TYPES);
    draft.body ??= Buffer.from('{}');
  },
  'the wrong content encoding': (draft, dice) => {
    draft.headers.push(['Content-Encoding', dice.pick(['gzip', 'br', 'deflate', 'x', '', 'gzip, gzip'])]);
    draft.body = dice.below(2) ? Buffer.from([0x1f, 0x8b, 8, 0, 0]) : (draft.body ?? Buffer.from('{}'));
  },
  'a length that is not so': (draft, dice) => {
    draft.body ??= Buffer.from('{}');
    const { length } = draft.body;
    draft.length = dice.pick([
      '-1',
      'x',
      '',
      '1e3',
      '+5',
      `${length}, ${length}`,
      '0',
      `${length >> 1}`,
      '9'.repeat(30),
    ]);
    if (dice.below(3) === 0) draft.length = `${length + 1 + dice.below(100)}`;
  },
  'broken chunks': (draft, dice) => {
    draft.chunked = true;
    const data = (draft.body ?? Buffer.from('{}')).toString('latin1').slice(0, 1000);
    const size = data.length.toString(16);
    const broken = dice.pick([
      ...[
        `${size}\r\n${data}\r\n`,
        `zz\r\n${data}\r\n0\r\n\r\n`,
        `-1\r\n\r\n`,
        `${size}${data}`,
        '0\r\n\r\n',
        '0\r\n',
      ],
      ...[
        `${size};${'e'.repeat(20_000)}\r\n${data}\r\n0\r\n\r\n`,
        'ffffffffffffffff\r\n',
        '\r\n\r\n',
        '0x2\r\n{}\r\n',
      ],
      ...[`${size}\r\n${data}\r\n0\r\nX-Trailer: ${'t'.repeat(20_000)}\r\n\r\n`, `${size}\n${data}\n0\n\n`],
    ]);
    draft.body = Buffer.from(broken, 'latin1');
  },
};

/** What can be wrong with any request. */
const FLAWS: Flaws = {
  'a body where none belongs': (draft, dice) => {
    draft.body = Buffer.from(dice.pick(JUNK));
  },
  'a strange header': (draft, dice) => {
    draft.headers.push([dice.pick(HEADERS), dice.pick(VALUES)]);
  },
  'a header twice': (draft, dice) => {
    const name = dice.pick([...HEADERS, 'Content-Type', 'Content-Length', 'Transfer-Encoding']);
    draft.headers.push([name, dice.pick(VALUES)], [name, dice.pick(VALUES)]);
  },
  'many headers': (draft, dice) => {
    const count = dice.pick([50, 500, 3000]);
    for (let i = 0; i < count; i += 1) draft.headers.push([`H${i}`, '1']);
  },
  'a header with a strange name': (draft, dice) => {
    const names = ['__proto__', 'constructor', 'toString', 'A B', '', ':', '\xe4', 'a'.repeat(15_000), 'A\0'];
    draft.headers.push([dice.pick(names), 'polluted']);
  },
  'a strange path': (draft, dice) => {
    const text = dice.pick(TEXTS);
    const targets = [
      () => draft.target.replace(/[^/]*$/, text),
      () => draft.target.replace(/[^/]+(\/[^/]*)$/, `${text}$1`),
      () => `${draft.target}/${text}`,
      () => `/${text}${draft.target}`,
      () => `http://${text}${draft.target}`,
      () => text,
    ];
    draft.target = dice.pick(targets)().replaceAll(' ', '%20');
  },
  'a strange query': (draft, dice, { query }) => {
    const names = [
      ...query,
      ...query,
      '__proto__',
      'a[b]',
      'a[]',
      'constructor',
      '',
      '%',
      'limit',
      'toString',
    ];
    const count = 1 + dice.below(dice.below(10) ? 3 : 300);
    const parts = Array.from({ length: count }, () =>
      `${dice.pick(names)}=${dice.pick(TEXTS)}`.slice(0, 5000),
    );
    draft.target += `?${parts.join('&').replaceAll(' ', '+')}`;
  },
  'another method': (draft, dice) => {
    draft.method = dice.pick(METHODS);
  },
  'another version': (draft, dice) => {
    const versions = [
      'HTTP/1.0',
      'HTTP/0.9',
      'HTTP/2.0',
      'HTTP/9.9',
      'http/1.1',
      'HTTP/1.1 ',
      '',
      'HTTP/1.',
      'ICY/1.1',
    ];
    draft.version = dice.pick(versions);
  },
};
const ALL_FLAWS: Flaws = { ...BODY_FLAWS, ...FLAWS };

/** Each operation with each flaw that it can have. */
export function pairsOf(operations: Operation[]): [operation: Operation, flaw: string][] {
  return operations.flatMap((operation) =>
    Object.keys(operation.method === 'GET' ? FLAWS : ALL_FLAWS).map((flaw): [Operation, string] => [
      operation,
      flaw,
    ]),
  );
}

function field(key: string, json: string): string {
  return `${JSON.stringify(key)}:${json}`;
}

function goodFields({ body }: Operation): string[] {
  return Object.entries(body?.good ?? {}).map(([name, value]) => field(name, JSON.stringify(value)));
}

function object(fields: string[]): Buffer {
  return Buffer.from(`{${fields.join(',')}}`);
}

/** The request with this number; `ids` are things that exist. */
export function fuzzed(
  seed: number,
  number: number,
  pairs: [operation: Operation, flaw: string][],
  key: string,
  ids: string[],
): FuzzRequest {
  const dice = new Dice(seed + Math.imul(number, 0x9e3779b1));
  // In turn, so that each operation meets each flaw; a second and a third flaw come by chance.
  const [operation, flaw] = pairs[number % pairs.length];
  const flaws = [flaw];
  while (dice.below(3) === 0 && flaws.length < 3) flaws.push(dice.pick(Object.keys(ALL_FLAWS)));
  const draft: Draft = {
    method: operation.method,
    target: operation.path.replaceAll(/\{\w+\}/g, () => dice.pick(ids)),
    version: 'HTTP/1.1',
    headers: [],
    body: operation.body && object(goodFields(operation)),
  };
  if (dice.below(10)) draft.headers.push(['Authorization', `Bearer ${key}`]);
  for (const one of flaws) ALL_FLAWS[one]?.(draft, dice, operation);
  const { bytes, unfinished } = bytesOf(draft, dice);
  return { number, operation: operation.name, flaws, bytes, unfinished, head: draft.method === 'HEAD' };
}

function bytesOf(draft: Draft, dice: Dice): { bytes: Buffer; unfinished: boolean } {
  const { method, target, version, headers, body } = draft;
  const lines = [`${method} ${target} ${version}`];
  if (dice.below(50)) lines.push('Host: brain.test');
  if (body && draft.type !== '') lines.push(`Content-Type: ${draft.type ?? 'application/json'}`);
  if (draft.chunked) lines.push('Transfer-Encoding: chunked');
  if (body && (!draft.chunked || draft.length !== undefined))
    lines.push(`Content-Length: ${draft.length ?? body.length}`);
  for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  const promised = Number(draft.length ?? body?.length ?? 0);
  const unfinished = (draft.chunked ?? false) || promised > (body?.length ?? 0);
  return { bytes: Buffer.concat([head, body ?? Buffer.alloc(0)]), unfinished };
}
