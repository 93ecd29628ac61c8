/** openapi.json for those who read it: the explorer, and generators of clients. What it says is compared with the service. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Permission, permits, ROLES } from '../src/security/principal.js';
import { serviceOn, startEmbedded } from './support/stores.js';

interface Schema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: unknown;
  items?: Schema;
  allOf?: Schema[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  enum?: unknown[];
  example?: unknown;
  default?: unknown;
  minItems?: number;
  maxItems?: number;
}

interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  errors?: object[];
}

interface Operation {
  description: string;
  tags: string[];
  'x-permission'?: Permission;
  parameters?: { in: string; name: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, { examples?: Record<string, { $ref: string }> }> }>;
}

interface Document {
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, Schema>;
    securitySchemes: Record<string, object>;
    examples: Record<string, { value: Problem }>;
  };
}

const ROOT = resolve(__dirname, '..');
const document = JSON.parse(readFileSync(join(ROOT, 'openapi.json'), 'utf8')) as Document;
const { schemas } = document.components;
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
);
const bodies = operations.flatMap(({ path, method, operation }) => {
  const schema = operation.requestBody?.content['application/json']?.schema;
  return schema ? [{ path, method, operation, schema }] : [];
});
const nameOf = ({ $ref = '' }: Schema): string => $ref.split('/').at(-1) ?? '';

/** The schema with everything that it refers to. */
function resolved(schema: Schema): Schema {
  const { $ref, allOf = [], ...own } = schema;
  const parts = [...allOf, ...($ref === undefined ? [] : [schemas[nameOf(schema)]])];
  return Object.assign({}, ...parts.map(resolved), own) as Schema;
}

/** The example that the explorer shows for a schema. @param only the fields of an object */
function exampleOf(schema: Schema, only: (one: Schema, name: string) => boolean = () => true): unknown {
  const { example, enum: values, properties, items, default: value, ...whole } = resolved(schema);
  if (example !== undefined) return example;
  if (value !== undefined) return value;
  if (values) return values[0];
  if (items) return [exampleOf(items, only)];
  const fields = Object.entries(properties ?? {}).filter(([name]) => only(whole, name));
  return Object.fromEntries(fields.map(([name, field]) => [name, exampleOf(field, only)]));
}

/** The names of all schemas that a schema reaches. */
function reachedFrom(value: unknown, names = new Set<string>()): Set<string> {
  if (typeof value !== 'object' || value === null) return names;
  for (const [key, member] of Object.entries(value)) {
    if (key !== '$ref') reachedFrom(member, names);
    else if (!names.has(nameOf({ $ref: String(member) }))) {
      names.add(nameOf({ $ref: String(member) }));
      reachedFrom(schemas[nameOf({ $ref: String(member) })], names);
    }
  }
  return names;
}

describe('openapi.json', () => {
  it('lists the sections in the order of their importance', () => {
    const order = ['policy', 'threats', 'immune', 'missions', 'events', 'keys', 'authzen', 'health'];
    const names = document.tags.map(({ name }) => name);
    expect(names.filter((name) => order.includes(name))).toEqual(order);
    const used = new Set(operations.flatMap(({ operation }) => operation.tags));
    expect([...used].filter((name) => !names.includes(name))).toEqual([]);
  });

  it('does not say that a key is a JWT', () => {
    expect(document.components.securitySchemes).toEqual({
      key: { type: 'http', scheme: 'bearer', description: expect.any(String) },
    });
  });

  it('says of each operation which permission it needs, and which roles have it', () => {
    for (const { path, method, operation } of operations) {
      const permission = operation['x-permission'];
      const roles = ROLES.filter((role) => permission && permits(role, permission));
      const sentence = permission
        ? `Needs the permission \`${permission}\`, which these roles have: ${roles.join(', ')}.`
        : 'Needs no key.';
      expect([method, path, operation.description.endsWith(sentence)]).toEqual([method, path, true]);
    }
  });

  it('has an example for each problem, with its status, its title and a code that the service knows', () => {
    const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
      .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'))
      .join('\n');
    let count = 0;
    for (const { path, method, operation } of operations) {
      for (const [status, { content = {} }] of Object.entries(operation.responses)) {
        if (Number(status) < 400) continue;
        const examples = Object.entries(content['application/problem+json']?.examples ?? {});
        expect([method, path, status, examples.length > 0]).toEqual([method, path, status, true]);
        for (const [code, { $ref }] of examples) {
          count += 1;
          const { value } = document.components.examples[nameOf({ $ref })];
          expect(value).toMatchObject({ status: Number(status), code, type: `urn:brain:problem:${code}` });
          expect([code, sources.includes(`'${code}'`)]).toEqual([code, true]);
          expect(value.title).not.toBe('Error');
        }
      }
    }
    expect(count).toBeGreaterThan(200);
  });

  it('has no example that expires, and no field with a default', () => {
    const faults: string[] = [];
    for (const [name, { properties = {} }] of Object.entries(schemas)) {
      for (const [field, schema] of Object.entries(properties)) {
        if (schema.default !== undefined) faults.push(`${name}.${field} has a default`);
        if (/expire/.test(field) && schema.example !== null) faults.push(`${name}.${field} expires`);
        if (Object.keys(schema).some((key) => key.startsWith('x-')))
          faults.push(`${name}.${field} is marked`);
      }
    }
    expect(faults).toEqual([]);
  });

  it('says of each body that it has no other fields, except where the service ignores them', () => {
    const open = bodies.filter(({ path }) => path.startsWith('/access/v1/'));
    const closed = bodies.filter(({ path }) => !path.startsWith('/access/v1/'));
    for (const { schema } of closed) {
      for (const name of reachedFrom(schema)) {
        if (schemas[name].properties)
          expect([name, schemas[name].additionalProperties]).toEqual([name, false]);
      }
    }
    for (const { schema } of open) {
      for (const name of reachedFrom(schema))
        expect([name, schemas[name].additionalProperties]).toEqual([name, undefined]);
    }
    expect([open.length > 1, closed.length > 10]).toEqual([true, true]);
  });

  it('demands of a body only what the service demands', () => {
    const required = (name: string): string[] => schemas[name]?.required ?? [];
    expect(required('PolicyInput')).toEqual(['name']);
    expect(required('RuleInput')).toEqual(['name', 'effect']);
    expect(required('ConditionInput')).toEqual(['field', 'operator']);
    expect([required('PolicyChanges'), required('RuleChanges')]).toEqual([[], []]);
    expect(required('Policy')).toEqual(
      expect.arrayContaining(['policy_id', 'rules', 'revision', 'metadata']),
    );
    expect(required('Rule')).toEqual(expect.arrayContaining(['rule_id', 'conditions', 'enabled']));
    expect(schemas.EvaluateBatch?.properties?.evaluations).toMatchObject({ minItems: 1, maxItems: 1000 });
    expect(schemas.StepKind?.enum).toEqual(['http', 'wait', 'immune_event']);
  });
});

describe('the service', () => {
  const service = serviceOn(startEmbedded);
  // An admin has no agent of its own, so it must name one where another caller need not.
  beforeAll(() => {
    for (const name of ['EvaluateRequest', 'TestRule']) schemas[name].required?.push('agent_id');
  });
  const send = (method: string, path: string, body?: object) =>
    method === 'get' || method === 'delete' ? service[method](path) : service[method as 'post'](path, body);

  it('accepts each body with the required fields alone, and with the examples of all fields', async () => {
    const withoutId = bodies.filter(({ path }) => !path.includes('{'));
    expect(withoutId.length).toBeGreaterThan(8);
    for (const { path, method, schema } of withoutId) {
      const required = exampleOf(schema, (whole, name) => whole.required?.includes(name) === true);
      // A body without evaluations is a single evaluation there, and needs its members.
      const sent = path === '/access/v1/evaluations' ? [exampleOf(schema)] : [required, exampleOf(schema)];
      for (const body of sent) {
        const answer = await send(method, path, body as object);
        const isGood = [200, 201, 409].includes(answer.status);
        expect([path, body, isGood, answer.body]).toEqual([path, body, true, answer.body]);
      }
    }
  });

  it('answers for an unknown id with the code of the example', async () => {
    const withId = operations.filter(
      ({ path, operation }) => path.includes('{') && operation.responses['404'] !== undefined,
    );
    expect(withId.length).toBeGreaterThan(15);
    for (const { path, method, operation } of withId) {
      const url = path.replaceAll(/\{[^}]+\}/g, 'nothing');
      const schema = operation.requestBody?.content['application/json']?.schema;
      const body = schema && (exampleOf(schema) as object);
      const answer = await send(method, url, body);
      const codes = Object.keys(
        operation.responses['404'].content?.['application/problem+json']?.examples ?? {},
      );
      const { code } = answer.body as { code: string };
      // A rule is looked for in its policy, so the policy is what is missing first.
      const expected = path.includes('{rule_id}') ? ['policy_not_found'] : codes;
      expect([method, path, answer.status, expected.includes(code), code]).toEqual([
        method,
        path,
        404,
        true,
        code,
      ]);
    }
  });

  it('answers wrong requests with the codes of the examples', async () => {
    const has = (operation: Operation, status: number, code: unknown): boolean =>
      Object.keys(
        operation.responses[status]?.content?.['application/problem+json']?.examples ?? {},
      ).includes(String(code));
    for (const { path, method, operation } of operations) {
      if (!operation['x-permission']) continue;
      const url = path.replaceAll(/\{[^}]+\}/g, 'nothing');
      const verb = method as 'get' | 'put' | 'delete';
      const anonymous = await (verb === 'get' || verb === 'delete'
        ? service[verb](url, '')
        : service[verb](url, {}, ''));
      expect([path, anonymous.status, has(operation, 401, anonymous.body.code)]).toEqual([path, 401, true]);
    }
    for (const { path, method, operation } of bodies) {
      const url = path.replaceAll(/\{[^}]+\}/g, 'nothing');
      const wrong = (type: string, text: string) =>
        service[method as 'post'](url).set('Content-Type', type).send(text);
      const malformed = await wrong('application/json', '{');
      expect([path, malformed.status, has(operation, 400, malformed.body.code)]).toEqual([path, 400, true]);
      if (!operation.responses['415']) continue;
      const unsupported = await wrong('text/plain', 'text');
      expect([path, unsupported.status, has(operation, 415, unsupported.body.code)]).toEqual([
        path,
        415,
        true,
      ]);
    }
  });
});
