/**
 * The live stream as AsyncAPI 3.0, made from the same definitions as the catalog. An AsyncAPI document describes what the
 * application itself does, so the one operation of this service is `send`; who reads the stream receives.
 */
import { KEY_SCHEME } from '../../security/access.decorator.js';
import type { JsonSchema } from '../../shared/fields.js';
import { POSITION } from '../../storage/event-log.js';
import { catalog, type EventDefinition, PRIORITIES } from '../event.js';
import { constraintsOf, envelopeSchema, exampleOf, schemaOf } from './event-schema.js';

const DESCRIPTION = `Every fact of the control plane is one event on one stream of Server-Sent Events. The field \`id\` of
each is its position in the log, \`event\` its type, \`data\` the envelope. Who sends the last \`id\` back as \`Last-Event-ID\`
gets what was missed and then goes on live.`;

const CHANNEL = 'stream';
/** Not an event of the log: it tells one reader that its own place is gone. */
const GAP = 'gap';

const text: JsonSchema = { type: 'string', minLength: 1 };
const position: JsonSchema = { type: 'string', pattern: POSITION.source };

/** What the route takes; an array stands for a parameter that may be repeated. */
const QUERY: JsonSchema = {
  type: 'object',
  properties: {
    type: {
      type: 'array',
      items: text,
      description: 'Exact types, aliases, or patterns in which * stands for one segment',
    },
    priority: { type: 'string', enum: [...PRIORITIES] },
    source: text,
    correlation_id: text,
    subject: text,
    since: { type: 'number', description: 'Replays what was written at or after this time, in Unix seconds' },
    last_event_id: { ...position, description: 'For clients that cannot set Last-Event-ID' },
    format: { type: 'string', enum: ['envelope', 'cloudevents'] },
  },
};

export function asyncApiDocument(): object {
  const definitions = catalog();
  const names = [...definitions.map(({ type }) => type), GAP];
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'BRAiN Control Plane: events',
      version: '1.0.0',
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
      tags: [{ name: 'events', description: 'Every fact, in the order in which it was written' }],
    },
    defaultContentType: 'application/json',
    servers: {
      service: {
        host: '{address}',
        protocol: 'http',
        description: 'The service itself; behind a proxy that ends TLS the protocol is https.',
        variables: { address: { default: '127.0.0.1:8080', description: 'Host and port' } },
        security: [ref('components', 'securitySchemes', KEY_SCHEME)],
      },
    },
    channels: {
      [CHANNEL]: {
        address: '/api/events/stream',
        title: 'The event stream',
        messages: Object.fromEntries(names.map((name) => [name, ref('components', 'messages', name)])),
      },
    },
    operations: {
      sendEvents: {
        action: 'send',
        channel: ref('channels', CHANNEL),
        title: 'Send events as they are written',
        description: 'In log order, filtered as the query of the reader says, after what it missed.',
        bindings: { http: { method: 'GET', query: QUERY, bindingVersion: '0.3.0' } },
        messages: names.map((name) => ref('channels', CHANNEL, 'messages', name)),
      },
    },
    components: {
      messages: {
        ...Object.fromEntries(definitions.map((definition) => [definition.type, messageOf(definition)])),
        [GAP]: gapMessage,
      },
      schemas: {
        envelope: envelopeSchema(),
        ...Object.fromEntries(definitions.map((definition) => [definition.type, schemaOf(definition)])),
      },
      securitySchemes: {
        [KEY_SCHEME]: { type: 'http', scheme: 'bearer', description: 'An API key: brn_…' },
      },
    },
  };
}

function messageOf(definition: EventDefinition): object {
  const { type, when, priority, consumers } = definition;
  const example = exampleOf(definition);
  return {
    name: type,
    title: type,
    summary: when,
    correlationId: {
      location: '$message.payload#/meta/correlation_id',
      description: 'The same for everything that one request caused',
    },
    headers: headersOf(type, ['id', 'event']),
    payload: {
      allOf: [
        ref('components', 'schemas', 'envelope'),
        constraintsOf(definition, ref('components', 'schemas', type)),
      ],
    },
    examples: [{ name: type, headers: { id: example.position, event: type }, payload: example }],
    'x-priority': priority,
    'x-consumers': consumers,
  };
}

const gapMessage = {
  name: GAP,
  title: GAP,
  summary:
    'History is missing for this reader: it was trimmed before the reader came back, or a failover took it back.',
  headers: headersOf(GAP, ['id', 'event']),
  payload: {
    type: 'object',
    properties: {
      reason: { type: 'string', enum: ['trimmed', 'rollback'] },
      from: { ...position, description: 'The events between this place and the next are missing' },
      to: position,
      detected_at: { type: 'number' },
    },
    required: ['reason', 'from', 'to', 'detected_at'],
  },
  examples: [
    {
      name: GAP,
      headers: { id: '1735510967120-3', event: GAP },
      payload: {
        reason: 'trimmed',
        from: '1735424567893-0',
        to: '1735510967120-3',
        detected_at: 1735597367.12,
      },
    },
  ],
};

/** The fields of a Server-Sent Event besides `data`. */
function headersOf(name: string, required: string[]): JsonSchema {
  return { type: 'object', properties: { id: position, event: { const: name } }, required };
}

function ref(...path: string[]): { $ref: string } {
  return { $ref: `#/${path.join('/')}` };
}
