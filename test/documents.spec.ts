/** The documents that are made from the code are up to date, and so are the pages and the lock file. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Parser } from '@asyncapi/parser';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { environmentFile, settingsPage } from '../src/config/settings-page.js';
import { asyncApiDocument } from '../src/events/catalog/asyncapi.js';
import { exampleOf } from '../src/events/catalog/event-schema.js';
import { eventsPage } from '../src/events/catalog/events-page.js';
import { catalog } from '../src/events/event.js';
import { openApiDocument } from '../src/http/openapi.js';
import { curlRequests } from './support/curl.js';
import { faultsOf } from './support/envelope.js';
import { ADMIN, type Service, startService } from './support/service.js';

const read = (file: string): string => readFileSync(resolve(__dirname, '..', file), 'utf8');

interface Schema {
  $ref?: string;
  description?: string;
  type?: string | string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  /** How a reference carries a description of its own, or may be null. */
  allOf?: Schema[];
  anyOf?: Schema[];
  enum?: unknown[];
  example?: unknown;
  default?: unknown;
}

interface Operation {
  summary?: string;
  security?: object[];
  requestBody?: { description?: string; content: Record<string, { schema: Schema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema?: Schema }> }>;
}

/** An answer without the values that differ each time. */
function lasting(json: string): unknown {
  return JSON.parse(json, (name, value: unknown) =>
    ['decision_id', 'policy_revision'].includes(name) ? undefined : value,
  );
}

describe('documents', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.stop());

  it('EVENTS.md is up to date (npm run docs:events)', () => {
    expect(read('EVENTS.md')).toBe(eventsPage());
  });

  it('openapi.json is up to date (npm run docs:openapi)', () => {
    expect(JSON.parse(read('openapi.json'))).toEqual(
      JSON.parse(JSON.stringify(openApiDocument(service.app))),
    );
  });

  it('asyncapi.json is up to date (npm run docs:asyncapi), and the service returns it', async () => {
    const document = JSON.parse(read('asyncapi.json')) as object;
    expect(document).toEqual(JSON.parse(JSON.stringify(asyncApiDocument())));
    expect((await service.get('/asyncapi.json').expect(200)).body).toEqual(document);
  });

  it('asyncapi.json is valid for the parser of AsyncAPI', async () => {
    const { document, diagnostics } = await new Parser().parse(read('asyncapi.json'));
    // That 3.1 exists is no fault of a document that says 3.0.
    expect(diagnostics.filter(({ code }) => code !== 'asyncapi-latest-version')).toEqual([]);
    const [operation, ...others] = document?.operations().all() ?? [];
    expect([operation?.action(), others]).toEqual(['send', []]);
    const names = operation
      ?.messages()
      .all()
      .map((message) => message.name());
    expect(names).toEqual([...catalog().map(({ type }) => type), 'gap']);
  });

  it('asyncapi.json has a valid example for each message', () => {
    interface Message {
      headers: object;
      payload: object;
      examples: { headers: object; payload: object }[];
    }
    const { components } = JSON.parse(read('asyncapi.json')) as {
      components: { messages: Record<string, Message> };
    };
    const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true, keywords: ['components'] });
    for (const [name, message] of Object.entries(components.messages)) {
      for (const part of ['headers', 'payload'] as const) {
        const validate = ajv.compile({ ...message[part], components });
        const faults = message.examples.map((example) => validate(example[part]) || validate.errors);
        expect([name, part, faults]).toEqual([name, part, [true]]);
      }
    }
  });

  it('every route has a summary, and every body and answer a schema with an example for each field', () => {
    const document = JSON.parse(read('openapi.json')) as {
      paths: Record<string, Record<string, Operation>>;
      components: { schemas: Record<string, Schema> };
    };
    const faults: string[] = [];
    const examine = (schema: Schema | undefined, where: string, seen: string[] = []): void => {
      if (!schema) return void faults.push(`${where} has no schema`);
      const name = schema.$ref?.split('/').at(-1);
      if (name !== undefined) {
        const target = document.components.schemas[name];
        if (target && !target.enum && !target.description) faults.push(`${name} has no description`);
        if (!target) faults.push(`${where} refers to ${schema.$ref}, which is not there`);
        else if (!seen.includes(name)) examine(target, name, [...seen, name]);
        return;
      }
      if (schema.example !== undefined || schema.enum || schema.default !== undefined) return;
      if (schema.properties) {
        for (const [field, inner] of Object.entries(schema.properties))
          examine(inner, `${where}.${field}`, seen);
      } else if (schema.allOf ?? schema.anyOf) {
        const parts = [...(schema.allOf ?? []), ...(schema.anyOf ?? [])];
        for (const part of parts) if (part.type !== 'null') examine(part, where, seen);
      } else if (schema.items) examine(schema.items, `${where}[]`, seen);
      else faults.push(`${where} has no example`);
    };
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        const route = `${method.toUpperCase()} ${path}`;
        if (!operation.summary) faults.push(`${route} has no summary`);
        if (operation.requestBody && !operation.requestBody.description)
          faults.push(`the body of ${route} has no description`);
        if (!operation.security) faults.push(`${route} does not say who may call it`);
        const contents = [
          operation.requestBody?.content,
          ...Object.values(operation.responses).map((r) => r.content),
        ];
        for (const content of contents) {
          for (const { schema } of Object.values(content ?? {})) examine(schema, route);
        }
      }
    }
    expect(faults).toEqual([]);
    expect(Object.keys(document.paths).length).toBeGreaterThan(8);
  });

  it('every event type has an example that its schema accepts', () => {
    expect(catalog().map(({ type }) => type)).toEqual(
      expect.arrayContaining(['threat.detected', 'stream.gap']),
    );
    for (const definition of catalog()) {
      const { type, consumers, when } = definition;
      expect([type, faultsOf(exampleOf(definition))]).toEqual([type, []]);
      expect([type, consumers.length > 0, when.endsWith('.')]).toEqual([type, true, true]);
    }
  });

  it('docs/settings.md and .env.example are up to date (npm run docs:settings)', () => {
    expect(read('docs/settings.md')).toBe(settingsPage());
    expect(read('.env.example')).toBe(environmentFile());
  });

  it('docs/authzen.md and docs/policy.md have requests and answers that the service gives', async () => {
    const part = read('docs/authzen.md') + read('docs/policy.md');
    const requests = curlRequests(part, { KEY: ADMIN });
    const shown: string[] = [];
    for (const { line, method, path, headers, body, end } of requests) {
      const answer = await fetch((await service.app.getUrl()) + path, { method, headers, body });
      const text = await answer.text();
      expect([line, answer.ok, text]).toEqual([line, true, text]);
      const example = /^\s*```\s*```json\n(.*?)```/s.exec(part.slice(end))?.[1];
      if (example === undefined) continue;
      shown.push(path);
      expect(lasting(text)).toEqual(lasting(example));
    }
    expect(shown).toEqual(['/access/v1/evaluations', '/access/v1/search/action', '/api/policy/evaluate']);
  });

  it.each(['package-lock.json', 'bench/package-lock.json'])(
    '%s is complete, so that npm ci accepts it',
    (file) => {
      const lock = JSON.parse(read(file)) as {
        packages: Record<string, { optionalDependencies?: Record<string, string>; resolved?: string }>;
      };
      const has = (path: string, name: string): boolean => {
        const parts =
          path === ''
            ? []
            : path.split('/node_modules/').map((_, i, all) => all.slice(0, i + 1).join('/node_modules/'));
        return ['', ...parts].some(
          (at) => lock.packages[`${at ? `${at}/` : ''}node_modules/${name}`] !== undefined,
        );
      };
      const holes = Object.entries(lock.packages).flatMap(([path, entry]) =>
        Object.keys(entry.optionalDependencies ?? {})
          .filter((name) => !has(path, name))
          .map((name) => `${path}: ${name}`),
      );
      expect(holes).toEqual([]);
      const foreign = Object.values(lock.packages).filter(
        ({ resolved }) => resolved && !resolved.startsWith('https://registry.npmjs.org/'),
      );
      expect(foreign).toEqual([]);
    },
  );
});
