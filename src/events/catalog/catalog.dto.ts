import type { JsonSchema } from '../../shared/class-schema.js';
import { Described, Flag, JsonObject, ListOf, Nested, Num, OneOf, Text, Texts } from '../../shared/fields.js';
import { PRIORITIES, type Priority } from '../event.js';
import { EventAnswer } from '../log/events.dto.js';

@Described('A type of event')
class CatalogEntry {
  @Text({ max: 128, description: 'The type of the event', example: 'threat.detected' })
  type!: string;

  @Text({ max: 64, description: 'The domain that publishes it', example: 'threat' })
  module!: string;

  @OneOf(PRIORITIES, {
    name: 'EventPriority',
    description: 'How urgent events of this type are',
    example: 'CRITICAL',
  })
  priority!: Priority;

  @Flag({
    description:
      'Whether it is about one decision. Only these events are removed when the log gets too long, and only these may be ' +
      'missing after a gap that says `decisions`',
    example: false,
  })
  decision!: boolean;

  @Num({ integer: true, min: 1, description: 'The version of the payload schema', example: 1 })
  schema_version!: number;

  @Text({
    max: 1024,
    description: 'When it is published',
    example: 'A threat is reported that was not open already.',
  })
  when!: string;

  @Texts({ max: 128, most: 16, description: 'Older names that filters accept', example: [] })
  aliases!: string[];

  @Texts({
    max: 1024,
    most: 16,
    description: 'Who reads it, and for what',
    example: ['Dashboard: show it at once'],
  })
  consumers!: string[];

  @JsonObject({
    description: 'The JSON Schema of the payload',
    example: { type: 'object', properties: { threat_id: { type: 'string' } }, required: ['threat_id'] },
  })
  schema!: JsonSchema;

  @Nested(() => EventAnswer, { description: 'An event of this type' })
  example!: EventAnswer;
}

@Described('All types of events')
export class Catalog {
  @JsonObject({
    description: 'The JSON Schema of the envelope, which is around every payload',
    example: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] },
  })
  envelope!: JsonSchema;

  @ListOf(() => CatalogEntry, { description: 'Every type that this release publishes, sorted by name' })
  types!: CatalogEntry[];
}
