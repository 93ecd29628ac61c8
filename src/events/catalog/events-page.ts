/** Makes EVENTS.md from the definitions of the loaded domains, so that page and code agree. */
import type { JsonSchema } from '../../shared/class-schema.js';
import { aliasesOf, catalog, type EventDefinition, typeFilter } from '../event.js';
import { exampleOf, schemaOf } from './event-schema.js';
import { CONSUMERS, CONSUMERS_HEAD, COST, HEAD } from './events-guide.js';
import { FLOWS } from './flows.js';

const HOST = 'http://127.0.0.1:8080';

export function eventsPage(): string {
  const all = catalog();
  const parts = [HEAD, table(all), ...all.map(section), flows(all), consumers(all), COST];
  return `${parts.join('\n').trimEnd()}\n`;
}

function table(all: EventDefinition[]): string {
  const rows = all.map(({ type, priority, when }) => {
    const aliases = aliasesOf(type).map((alias) => `; alias \`${alias}\``);
    return `| [\`${type}\`](#${anchor(type)})${aliases.join('')} | ${priority} | ${when} |`;
  });
  return ['## The catalog', '', '| Type | Priority | When |', '|---|---|---|', ...rows, ''].join('\n');
}

/** Only the flows whose types are all defined. */
function flows(all: EventDefinition[]): string {
  const types = all.map(({ type }) => type);
  const complete = FLOWS.filter(({ steps }) => steps.every(({ type }) => types.includes(type)));
  const lines = complete.flatMap(({ title, sentence, steps }) => [
    `### ${title}`,
    '',
    sentence,
    '',
    ...steps.map(({ type, what }, i) => `${i + 1}. [\`${type}\`](#${anchor(type)}): ${what}`),
    '',
  ]);
  return ['## Flows', '', ...lines].join('\n');
}

function consumers(all: EventDefinition[]): string {
  const lines = CONSUMERS.flatMap(({ title, text, requests }) => [
    `### ${title}`,
    '',
    text,
    '',
    '```sh',
    ...requests.filter((path) => matchesSome(path, all)).map(curl),
    '```',
    '',
  ]);
  return [CONSUMERS_HEAD, ...lines].join('\n');
}

/** Whether each type, alias and pattern in the query matches an event of the catalog. */
function matchesSome(path: string, all: EventDefinition[]): boolean {
  const patterns = new URL(path, HOST).searchParams.getAll('type');
  return patterns.every((pattern) => all.some(({ type }) => typeFilter([pattern])(type)));
}

function curl(path: string): string {
  const quote = path.includes('$') ? '"' : "'";
  const live = path.startsWith('/api/events/stream') ? '-N ' : '';
  return `curl ${live}-H "Authorization: Bearer $KEY" ${quote}${HOST}${path}${quote}`;
}

function section(event: EventDefinition): string {
  return [
    `### ${event.type}`,
    '',
    `${event.when} Priority ${event.priority}, schema version ${event.schemaVersion}${event.decision ? ', about a decision' : ''}.`,
    '',
    '| Field | Type | |',
    '|---|---|---|',
    ...rowsOf(schemaOf(event)),
    '',
    '```json',
    JSON.stringify(exampleOf(event), null, 2),
    '```',
    '',
    ...event.consumers.map((consumer) => `- ${consumer}`),
    '',
  ].join('\n');
}

/** One row for each field; the fields of a nested object follow its own row. */
function rowsOf({ properties = {}, required = [] }: JsonSchema, prefix = ''): string[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const note = required.includes(name) ? schema.description : optional(schema.description);
    const row = `| \`${prefix}${name}\` | ${typeOf(schema)} | ${note ?? ''} |`;
    return [row, ...rowsOf(schema, `${prefix}${name}.`)];
  });
}

/** An abbreviation keeps its first letter. */
function optional(description = ''): string {
  return `Optional: ${description.replace(/^[A-Z](?=[a-z ])/, (first) => first.toLowerCase())}`;
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.map((value) => `\`${String(value)}\``).join(' ');
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(' or ');
  const type = [schema.type].flat().join(' or ');
  if (schema.items) return `${type} of ${typeOf(schema.items)}`;
  if (schema.maxLength !== undefined) return `${type}, at most ${schema.maxLength} characters`;
  return schema.minimum === undefined ? type : `${type} ≥ ${schema.minimum}`;
}

function anchor(type: string): string {
  return type.replaceAll('.', '');
}
