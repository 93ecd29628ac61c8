/**
 * The live stream as AsyncAPI 3.0, made from the same definitions as the catalog. An AsyncAPI document describes what the
 * application itself does, so the one operation is `send`: the service sends, its clients receive.
 */
import { KEY_SCHEME } from '../../security/access.decorator.js';
import type { JsonSchema } from '../../shared/class-schema.js';
import { POSITION } from '../../storage/event-log.js';
import { catalog, type EventDefinition, PRIORITIES } from '../event.js';
import { READER_ID } from '../log/reader-id.js';
import { MISSING } from '../log/resume.js';
import { constraintsOf, envelopeSchema, exampleOf, schemaOf } from './event-schema.js';

const DESCRIPTION = `Every fact of the control plane is one event in one log, and this stream sends it as a Server-Sent
Event. Its field \`id\` is the position in the log, \`event\` the type, \`data\` the envelope. A client that sends the last
\`id\` back as \`Last-Event-ID\` first gets the events it has missed, and then the new ones.`;

const CHANNEL = 'stream';
/** Not an event of the log: it reports to one reader that events after its position are missing. */
const GAP = 'gap';

const text: JsonSchema = { type: 'string', minLength: 1 };
const position: JsonSchema = { type: 'string', pattern: POSITION.source };
const readerId: JsonSchema = { type: 'string', pattern: READER_ID.source };

/** The parameters of the route; an array is a parameter that may be repeated. */
const QUERY: JsonSchema = {
  type: 'object',
  properties: {
    type: {
      type: 'array',
      items: text,
      description: 'Exact types, aliases, or patterns in which * replaces one segment; may be repeated',
    },
    priority: { type: 'string', enum: [...PRIORITIES], description: 'Only events of this priority' },
    source: { ...text, description: 'Only events that this part of the service published' },
    correlation_id: { ...text, description: 'The X-Correlation-ID of the request that caused the event' },
    subject: {
      ...text,
      description: 'Only events about this threat, mission, policy, agent or immune event, by its id',
    },
    since: {
      type: 'number',
      description: 'Replays the events written at or after this time, in Unix seconds',
    },
    last_event_id: {
      ...readerId,
      description: 'The last id that was received, or a position, for clients that cannot set Last-Event-ID',
    },
    format: {
      type: 'string',
      enum: ['envelope', 'cloudevents'],
      description: 'The form of the data: the envelope, or CloudEvents 1.0',
    },
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
      tags: [{ name: 'events', description: 'The events of the log, in its order' }],
    },
    defaultContentType: 'application/json',
    servers: {
      service: {
        host: '{address}',
        protocol: 'http',
        description: 'The service itself; behind a proxy that ends TLS the protocol is https.',
        variables: { address: { default: '127.0.0.1:8080', description: 'Host and port of the service' } },
        security: [ref('components', 'securitySchemes', KEY_SCHEME)],
      },
    },
    channels: {
      [CHANNEL]: {
        address: '/api/events/stream',
        title: 'The event stream',
        description: 'One Server-Sent Events connection: first the missed events, then the new ones',
        messages: Object.fromEntries(names.map((name) => [name, ref('components', 'messages', name)])),
      },
    },
    operations: {
      sendEvents: {
        action: 'send',
        channel: ref('channels', CHANNEL),
        title: 'Send events as they are written',
        summary: 'Sends each event that the query asks for',
        description: 'The events come in log order. The events that the client has missed come first.',
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
  const { type, when, priority, decision = false, consumers } = definition;
  const example = exampleOf(definition);
  return {
    name: type,
    title: type,
    summary: when,
    correlationId: {
      location: '$message.payload#/meta/correlation_id',
      description: 'The same in all events that one request caused',
    },
    headers: headersOf(type, ['id', 'event']),
    payload: {
      title: `${type} in its envelope`,
      allOf: [
        ref('components', 'schemas', 'envelope'),
        constraintsOf(definition, ref('components', 'schemas', type)),
      ],
    },
    examples: [{ name: type, headers: { id: example.position, event: type }, payload: example }],
    'x-priority': priority,
    'x-decision': decision,
    'x-consumers': consumers,
  };
}

const gapMessage = {
  name: GAP,
  title: GAP,
  summary:
    'Events are missing for this reader: they were trimmed before the reader came back, or a failover took them back.',
  headers: headersOf(GAP, ['id', 'event']),
  payload: {
    title: GAP,
    type: 'object',
    properties: {
      reason: {
        type: 'string',
        enum: ['trimmed', 'rollback'],
        description: 'Retention removed the events (trimmed), or a failover took them back (rollback)',
      },
      missing: {
        type: 'string',
        enum: [...MISSING],
        description:
          'Only events of types with `x-decision` may be missing (decisions), or events of any type (any)',
      },
      from: { ...position, description: 'The events after this position are missing' },
      to: { ...position, description: 'The events up to this position are missing' },
      detected_at: { type: 'number', description: 'When the gap was noticed, in Unix seconds' },
    },
    required: ['reason', 'missing', 'from', 'to', 'detected_at'],
  },
  examples: [
    {
      name: GAP,
      headers: { id: '1735510967120-3', event: GAP },
      payload: {
        reason: 'trimmed',
        missing: 'decisions',
        from: '1735424567893-0',
        to: '1735510967120-3',
        detected_at: 1735597367.12,
      },
    },
  ],
};

/** The fields of a Server-Sent Event besides `data`. */
function headersOf(name: string, required: string[]): JsonSchema {
  return {
    type: 'object',
    properties: {
      id: {
        ...readerId,
        description:
          'The position of the event in the log; for a minute after a failover also the history of the log and where it begins',
      },
      event: { const: name, description: 'The type of the event' },
    },
    required,
  };
}

function ref(...path: string[]): { $ref: string } {
  return { $ref: `#/${path.join('/')}` };
}
