import { JsonObject, type JsonSchema, ListOf, Nested, Num, OneOf, Text, Texts } from '../../shared/fields.js';
import { PRIORITIES, type Priority } from '../event.js';
import { EventAnswer } from '../log/events.dto.js';

class CatalogEntry {
  @Text({ max: 128, example: 'threat.detected' })
  type!: string;

  @Text({ max: 64, description: 'Who publishes it', example: 'threat' })
  module!: string;

  @OneOf(PRIORITIES, { name: 'EventPriority', example: 'CRITICAL' })
  priority!: Priority;

  @Num({ integer: true, min: 1, description: 'Of the payload', example: 1 })
  schema_version!: number;

  @Text({
    max: 1024,
    description: 'When it is published',
    example: 'A threat is reported that was not open already.',
  })
  when!: string;

  @Texts({ max: 128, most: 16, description: 'Older names that filters understand', example: [] })
  aliases!: string[];

  @Texts({
    max: 1024,
    most: 16,
    description: 'Who would listen, and what for',
    example: ['Dashboard: show it at once'],
  })
  consumers!: string[];

  @JsonObject({
    description: 'The JSON Schema of the payload',
    example: { type: 'object', properties: { threat_id: { type: 'string' } }, required: ['threat_id'] },
  })
  schema!: JsonSchema;

  @Nested(() => EventAnswer)
  example!: EventAnswer;
}

export class Catalog {
  @JsonObject({
    description: 'The JSON Schema of every event around its payload',
    example: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] },
  })
  envelope!: JsonSchema;

  @ListOf(() => CatalogEntry, { description: 'Every type that this release publishes, by name' })
  types!: CatalogEntry[];
}
