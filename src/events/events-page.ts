/** EVENTS.md, made from the definitions of the loaded domains, so that it cannot say what the code does not do. */
import type { JsonSchema } from '../shared/fields.js';
import { catalog, type EventDefinition } from './event.js';
import { exampleOf, schemaOf } from './event-schema.js';

const HEAD = `# Events

Every fact of the control plane is one event on one stream. This page is made from the code (\`npm run docs:events\`), and
a test holds it against the code: do not edit it by hand.

## The envelope

\`\`\`json
{"id": "evt_threat_1735424567890_k3v9x2ab", "type": "threat.detected", "source": "threat_service", "target": null,
 "timestamp": 1735424567.89, "payload": {}, "meta": {"correlation_id": null, "version": "1.0", "schema_version": 1}}
\`\`\`

\`timestamp\` is when it happened. Readers of the API also get \`position\`, the place in the log: what orders, whichever
replica wrote. \`meta.correlation_id\` is the \`X-Correlation-ID\` of the request that caused the event (else the trace id of
its \`traceparent\`, else its request id): one id for everything that one request caused.

## The promises

- An event that tells of a change of state rides in the commit of that change: both are there, or neither.
- Publishing never delays and never fails the business call. With \`BRAIN_EVENTS=off\` every domain behaves the same.
- An event without a state of its own (a decision) is in the log at the latest after 5 ms. While the log is away, 50,000
  events or 64 MiB wait in memory; what does not fit any more is counted, and the first thing written when the log is back
  is a \`stream.gap\` that says how many of which types are missing.
- A batch whose answer was lost is sent again and applied once.
- A process that ends without flushing leaves a mark, and the next start, or another replica, tells it by a \`stream.gap\`.
- A failover that took history back is noticed and told by a \`stream.gap\`.
- A payload that cannot be serialized is replaced by \`{"unserializable": reason}\`. The values that \`BRAIN_MASK\` names are
  replaced by \`"[masked]"\` before anything is written.

## Reading them

\`\`\`sh
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events?type=threat.*&order=asc&limit=100'
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events?subject=<threat id>'
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events?correlation_id=<X-Correlation-ID>'
\`\`\`

\`type\` is repeatable and takes exact types and patterns in which \`*\` stands for one segment or, alone, for all. \`since\` and
\`until\` are compared with the time at which an event was written. \`subject\` (the id of a threat, mission, policy, agent or
immune event) and \`correlation_id\` answer from an index; other filters read along the log, at most 2,000 events a page, so
a page may be short and still have a \`next_cursor\`.
`;

const COST = `## What it costs

Measured with \`npm run bench\` (docs/measurements.md says on what, and how): \`publish\` takes 0.2 to 0.4 µs of its caller's
stack, 0.1 to 0.3 µs while the log hangs. On its whole way into Redis an event costs the service 17 µs of CPU, into the embedded
store 36 µs. A full buffer, 50,000 events of 500 bytes, takes 49 MiB.
`;

export function eventsPage(): string {
  const all = catalog().filter(({ module }) => module !== 'test');
  const rows = all.map(
    ({ type, priority, when }) => `| [\`${type}\`](#${anchor(type)}) | ${priority} | ${when} |`,
  );
  const table = ['## The catalog', '', '| Type | Priority | When |', '|---|---|---|', ...rows, ''];
  return `${[HEAD, ...table, ...all.map(section), COST].join('\n').trimEnd()}\n`;
}

function section(event: EventDefinition): string {
  return [
    `### ${event.type}`,
    '',
    `${event.when} Priority ${event.priority}, schema version ${event.schemaVersion}.`,
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

/** The fields of an object, those of an object in it right after it. */
function rowsOf({ properties = {}, required = [] }: JsonSchema, prefix = ''): string[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const notes = [required.includes(name) ? '' : 'only if known', schema.description ?? ''];
    const row = `| \`${prefix}${name}\` | ${typeOf(schema)} | ${notes.filter(Boolean).join('; ')} |`;
    return [row, ...rowsOf(schema, `${prefix}${name}.`)];
  });
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
