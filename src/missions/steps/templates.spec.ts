import { filled, MissingValue, templateFaults, type Values } from './templates.js';

const of = (path: string): string => `\${${path}}`;

const values: Values = {
  data: {
    ticket: 'SEC-17',
    count: 3,
    urgent: false,
    nothing: null,
    list: [{ name: 'first' }],
    text: of('data.ticket'),
  },
  steps: { fetch: { result: { status: 200, body: { 'a-b': [1, 2] } } } },
};

describe('templates', () => {
  it.each([
    ['a text', 'data.ticket', 'SEC-17'],
    ['a number', 'data.count', 3],
    ['a truth', 'data.urgent', false],
    ['null', 'data.nothing', null],
    ['a list', 'data.list', [{ name: 'first' }]],
    ['a member of a list', 'data.list.0.name', 'first'],
    ['how long a list is', 'data.list.length', 1],
    ['the result of a step', 'steps.fetch.result', { status: 200, body: { 'a-b': [1, 2] } }],
    ['a part of it', 'steps.fetch.result.body.a-b.1', 2],
  ])('that are the whole text become the value, with its type: %s', (_what, path, value) => {
    expect(filled(of(path), values)).toEqual(value);
  });

  it('within a text become text, with any type', () => {
    const text = `${of('data.ticket')}: ${of('data.count')} of ${of('data.list')}, ${of('data.nothing')}`;
    expect(filled(text, values)).toBe('SEC-17: 3 of [{"name":"first"}], null');
  });

  it('are filled at any depth, and everything else stays unchanged', () => {
    const params = { a: [{ b: of('data.count') }], c: 1, d: null, e: '$5 {data.ticket}', f: true };
    expect(filled(params, values)).toEqual({ ...params, a: [{ b: 3 }] });
  });

  it('insert at most 2 MiB into a value, as a whole text or within one', () => {
    const large = { data: { text: 'x'.repeat(2 ** 20 - 2), list: ['x'.repeat(2 ** 20 - 4)] }, steps: {} };
    const failure = {
      code: 'params_too_large',
      final: true,
      message: expect.stringContaining('2 MiB') as string,
    };
    for (const text of [of('data.text'), of('data.list'), `a ${of('data.text')}`, `a ${of('data.list')}`]) {
      expect(() => filled({ a: text, b: [text] }, large)).not.toThrow();
      expect(() => filled([{ a: text, b: [text] }, `${text} again`], large)).toThrow(
        expect.objectContaining(failure) as Error,
      );
    }
  });

  it('inside a URL are percent-encoded and stay within their part of it', () => {
    const inUrl = (value: unknown): unknown =>
      filled(
        `https://a.example/items/${of('data.x')}?q=1`,
        { data: { x: value }, steps: {} },
        { isUrl: true },
      );
    expect(inUrl('../../secret?x=1#')).toBe('https://a.example/items/..%2F..%2Fsecret%3Fx%3D1%23?q=1');
    expect(inUrl('größer & 5')).toBe('https://a.example/items/gr%C3%B6%C3%9Fer%20%26%205?q=1');
    expect(inUrl(7)).toBe('https://a.example/items/7?q=1');
    for (const outside of ['.', '..', '\ud800'])
      expect(() => inUrl(outside)).toThrow(expect.objectContaining({ code: 'invalid_params' }) as Error);
  });

  it('that are the whole URL are not encoded', () => {
    const url = 'https://a.example/items/7?q=1';
    expect(filled(of('data.url'), { data: { url }, steps: {} }, { isUrl: true })).toBe(url);
  });

  it('are filled once: an inserted value that looks like a template stays text', () => {
    expect(filled(of('data.text'), values)).toBe(of('data.ticket'));
    expect(filled(`x ${of('data.text')}`, values)).toBe(`x ${of('data.ticket')}`);
  });

  it.each([
    'data.owner',
    'data.ticket.length',
    'data.list.1',
    'steps.fetch.result.headers',
    'steps.other.result',
  ])('without a value, as %s, are reported with their path', (path) => {
    expect(() => filled(of(path), values)).toThrow(
      new MissingValue(
        `the mission has no value for ${of(path)}; correct the path, or put the value into data`,
      ),
    );
  });

  it.each([
    'data.__proto__',
    'data.__proto__.polluted',
    'data.constructor',
    'data.constructor.prototype',
    'data.list.map',
    'data.ticket.constructor',
    'data.toString',
    'steps.fetch.result.hasOwnProperty',
    'steps.__proto__.result',
    'steps.constructor.result',
  ])('reach no prototype: %s', (path) => {
    expect(() => filled(of(path), values)).toThrow(MissingValue);
  });

  it('keep __proto__ a plain key', () => {
    const params = JSON.parse('{"__proto__": {"admin": true}}') as object;
    const result = filled(params, values) as { admin?: boolean };
    expect(result.admin).toBeUndefined();
    expect(JSON.stringify(result)).toBe('{"__proto__":{"admin":true}}');
  });

  const faults = (value: unknown, ...earlier: string[]): unknown[] => [
    ...templateFaults(value, new Set(earlier), '/params'),
  ];

  it('are checked when the mission is created: only paths, and only results of earlier steps', () => {
    expect(faults({ a: of('data.x'), b: [of('steps.one.result.y'), of('steps.one.result')] }, 'one')).toEqual(
      [],
    );
    const wrong = {
      a: [of('steps.two.result')],
      'b/c': of('env.HOME'),
      d: `${of('1+1')} ${of('')}`,
      e: of('data'),
    };
    expect(faults(wrong, 'one')).toEqual([
      { pointer: '/params/a/0', detail: 'uses the result of two, which is not an earlier step' },
      { pointer: '/params/b~1c', detail: expect.stringContaining(of('env.HOME')) },
      { pointer: '/params/d', detail: expect.stringContaining(of('1+1')) },
      { pointer: '/params/d', detail: expect.stringContaining('must be') },
      { pointer: '/params/e', detail: expect.stringContaining('must be') },
    ]);
  });

  it.each([
    'data..x',
    'data.',
    '.data',
    'steps.one',
    'steps.one.error',
    'steps..result',
    'data.x()',
    'data[0]',
  ])('of the form %s are refused or have no value', (path) => {
    if (faults(of(path), 'one').length > 0) return;
    expect(() => filled(of(path), values)).toThrow(MissingValue);
  });
});
