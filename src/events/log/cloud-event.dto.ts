import { Described, JsonObject, Num, OneOf, Text } from '../../shared/fields.js';
import { PRIORITIES, type Priority } from '../event.js';
import { EventId, Position } from './events.dto.js';

@Described('An event as CloudEvents 1.0')
export class CloudEvent {
  @OneOf(['1.0'], { name: 'CloudEventsVersion', description: 'The version of CloudEvents', example: '1.0' })
  specversion!: '1.0';

  @EventId()
  id!: string;

  @Text({
    max: 512,
    format: 'uri',
    description: 'The part of the service that published it',
    example: 'urn:brain:threat_service',
  })
  source!: string;

  @Text({ max: 128, description: 'What happened', example: 'threat.detected' })
  type!: string;

  @Text({
    max: 256,
    optional: true,
    description: 'The first of the ids by which the filter `subject` finds the event',
    example: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11',
  })
  subject?: string;

  @Text({
    max: 32,
    optional: true,
    format: 'date-time',
    description: 'When it happened',
    example: '2024-12-28T22:22:47.890Z',
  })
  time?: string;

  @OneOf(['application/json'], {
    name: 'DataContentType',
    description: 'The media type of `data`',
    example: 'application/json',
  })
  datacontenttype!: 'application/json';

  @Text({
    max: 256,
    optional: true,
    format: 'uri',
    description: 'The `$id` of the schema in the catalog',
    example: 'urn:brain:schema:threat.detected:1',
  })
  dataschema?: string;

  @Text({
    max: 128,
    optional: true,
    description: 'The same in all events that one request caused',
    example: 'k3v9x2abq8w1z4m7p0t5',
  })
  correlationid?: string;

  @Text({
    max: 64,
    optional: true,
    description: 'The id that the service made for the request that caused the event',
    example: 'k3v9x2abq8w1z4m7p0t5',
  })
  serverrequestid?: string;

  @Text({
    max: 256,
    optional: true,
    description: 'The id of the principal that caused the event, or `brain:<part>`',
    example: 'key_8vzn7ryx3d0q',
  })
  actorid?: string;

  @Text({ max: 64, optional: true, description: 'The role of this principal', example: 'operator' })
  actorrole?: string;

  @Text({ max: 256, optional: true, description: 'The name of this principal', example: 'ops' })
  actorname?: string;

  @OneOf(PRIORITIES, {
    name: 'EventPriority',
    optional: true,
    description: 'How urgent events of this type are',
    example: 'CRITICAL',
  })
  priority?: Priority;

  @Num({
    integer: true,
    min: 1,
    optional: true,
    description: 'The version of the schema of `data`',
    example: 1,
  })
  schemaversion?: number;

  @Text({
    max: 128,
    optional: true,
    description: 'The receiver, where the event has one',
    example: 'audit_service',
  })
  target?: string;

  @Position()
  position!: string;

  @JsonObject({
    description: 'The payload of the event',
    example: { threat_id: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11' },
  })
  data!: object;
}
