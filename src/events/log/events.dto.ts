import { ApiProperty } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ValidateBy } from 'class-validator';
import { Actor } from '../../http/answers.js';
import { Cursor, Limit, NextCursor } from '../../http/request.js';
import { Described, JsonObject, ListOf, Nested, Num, OneOf, Text } from '../../shared/fields.js';
import { isCleanText } from '../../shared/json.js';
import { POSITION } from '../../storage/event-log.js';
import { DEFAULT_PAGE } from '../../storage/store.js';
import { PRIORITIES, type Priority } from '../event.js';

const MAX_TYPES = 50;
const FORMATS = ['envelope', 'cloudevents'] as const;
export type EventFormat = (typeof FORMATS)[number];
const ORDERS = ['desc', 'asc'] as const;

/** Takes one pattern or several: `?type=threat.*&type=policy.denied`. */
function Patterns(): PropertyDecorator {
  const good = (value: unknown): boolean =>
    Array.isArray(value) &&
    value.length <= MAX_TYPES &&
    value.every((one) => typeof one === 'string' && one.length <= 128 && isCleanText(one));
  return (target, key) => {
    Transform(({ value }: { value: unknown }) =>
      value === undefined || Array.isArray(value) ? value : [value],
    )(target, key);
    ValidateBy({
      name: 'patterns',
      validator: {
        validate: good,
        defaultMessage: () => `must be up to ${MAX_TYPES} types or patterns such as threat.*`,
      },
    })(target, key);
    ApiProperty({
      type: String,
      isArray: true,
      required: false,
      description: 'Exact types, aliases, or patterns in which * replaces one segment; may be repeated',
      example: ['threat.*'],
    })(target, key);
  };
}

/** The filters of the list and of the live stream. */
export class EventFilterQuery {
  @Patterns()
  type: string[] = [];

  @OneOf(PRIORITIES, { name: 'EventPriority', optional: true, description: 'Only events of this priority' })
  priority?: Priority;

  @Text({
    max: 128,
    optional: true,
    description: 'Only events that this part of the service published, such as `threat_service`',
    example: 'threat_service',
  })
  source?: string;

  @Text({
    max: 128,
    optional: true,
    description: 'The X-Correlation-ID of the request that caused the event',
  })
  correlation_id?: string;

  @Text({
    max: 256,
    optional: true,
    description: 'Only events about this threat, mission, policy, agent or immune event, by its id',
  })
  subject?: string;

  @Num({
    optional: true,
    min: 0,
    max: 253_402_300_799,
    description: 'Only events written at or after this time, in Unix seconds',
  })
  since?: number;

  @OneOf(FORMATS, {
    name: 'EventFormat',
    optional: true,
    description:
      'The envelope, or CloudEvents 1.0. Without it the list chooses by the header `Accept`, and the live stream sends envelopes',
  })
  format?: EventFormat;
}

export class EventQuery extends EventFilterQuery {
  @Num({
    optional: true,
    min: 0,
    max: 253_402_300_799,
    description: 'Only events written at or before this time, in Unix seconds',
  })
  until?: number;

  @OneOf(ORDERS, {
    name: 'LogOrder',
    optional: true,
    default: 'desc',
    description: 'Newest first (desc) or oldest first (asc)',
  })
  order: (typeof ORDERS)[number] = 'desc';

  @Limit()
  limit: number = DEFAULT_PAGE;

  @Cursor()
  cursor?: string;
}

export class StreamQuery extends EventFilterQuery {
  @Text({
    optional: true,
    max: 64,
    description:
      'Replays the events after the event with this `id` or position; `0-0` is the beginning of the log. The header Last-Event-ID overrides it, and it overrides `since`',
    example: '1735424567893-0',
  })
  last_event_id?: string;
}

export const EventId = (): PropertyDecorator =>
  Text({
    max: 128,
    description: 'The id of the event; it is in the log once',
    example: 'evt_threat_1735424567890_k3v9x2ab',
  });

export const Position = (): PropertyDecorator =>
  Text({
    max: 64,
    pattern: POSITION,
    description: 'Its place in the log; events are ordered by it',
    example: '1735424567893-0',
  });

@Described('The cause of an event, and the versions of its shape')
class EventMeta {
  @Text({
    max: 128,
    nullable: true,
    description: 'The same in all events that one request caused; null where no request did',
    example: 'k3v9x2abq8w1z4m7p0t5',
  })
  correlation_id!: string | null;

  @Text({
    max: 64,
    optional: true,
    nullable: true,
    description:
      'The id that the service made for the request that caused the event. No client can choose it. Null where no request did, missing in events of earlier releases and of other programs',
    example: 'k3v9x2abq8w1z4m7p0t5',
  })
  server_request_id?: string | null;

  @Nested(() => Actor, {
    optional: true,
    description: 'Who caused the event; missing in events of earlier releases and of other programs',
  })
  actor?: Actor;

  @OneOf(['1.0'], { name: 'EnvelopeVersion', description: 'The version of the envelope', example: '1.0' })
  version!: '1.0';

  @Num({ integer: true, min: 1, description: 'The version of the payload schema', example: 1 })
  schema_version!: number;
}

@Described('An event in its envelope, with its position')
export class EventAnswer {
  @EventId()
  id!: string;

  @Text({ max: 128, description: 'What happened', example: 'threat.detected' })
  type!: string;

  @Text({ max: 128, description: 'The part of the service that published it', example: 'threat_service' })
  source!: string;

  @Text({
    max: 128,
    nullable: true,
    description: 'The receiver; null, because every event is for all readers',
    example: null,
  })
  target!: string | null;

  @Num({ description: 'When it happened, in Unix seconds', example: 1735424567.89 })
  timestamp!: number;

  @JsonObject({
    description: 'The facts; the catalog has the schema of each type',
    example: { threat_id: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11' },
  })
  payload!: object;

  @Nested(() => EventMeta, { description: 'The cause and the versions' })
  meta!: EventMeta;

  @Position()
  position!: string;
}

@Described('One page of the event log')
export class EventPage {
  @ListOf(() => EventAnswer, { description: 'The events of this page' })
  events!: EventAnswer[];

  @NextCursor()
  next_cursor!: string | null;
}
