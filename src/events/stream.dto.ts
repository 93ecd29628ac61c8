import { Num, OneOf, Text } from '../shared/fields.js';
import { PRIORITIES, type Priority } from './event.js';
import type { EventFormat } from './event-client.js';
import { Patterns } from './events.dto.js';

const FORMATS = ['envelope', 'cloudevents'] as const;

export class StreamQuery {
  @Patterns()
  type: string[] = [];

  @OneOf(PRIORITIES, { name: 'EventPriority', optional: true })
  priority?: Priority;

  @Text({ max: 128, optional: true, example: 'threat_service' })
  source?: string;

  @Text({ max: 128, optional: true, description: 'The X-Correlation-ID of the request that caused it' })
  correlation_id?: string;

  @Text({
    max: 256,
    optional: true,
    description: 'The id of a threat, mission, policy, agent or immune event',
  })
  subject?: string;

  @Num({
    optional: true,
    min: 0,
    max: 253_402_300_799,
    description: 'Replays what was written at or after this time, in Unix seconds',
  })
  since?: number;

  @Text({
    optional: true,
    max: 64,
    description:
      'Replays what came behind this position; the header `Last-Event-ID` goes before it. `0-0` is the beginning',
    example: '1735424567893-0',
  })
  last_event_id?: string;

  @OneOf(FORMATS, { name: 'EventFormat', optional: true, default: 'envelope' })
  format: EventFormat = 'envelope';
}
