/**
 * Converts an event to a CloudEvent 1.0 in JSON. Only `meta.version`, the version of the envelope, has no place in it. An
 * event that another program wrote into the log may lack fields; the CloudEvent lacks them too.
 */
import { schemaIdOf } from '../catalog/event-schema.js';
import { definitionOf, priorityOf, subjectsOf } from '../event.js';
import type { CloudEvent } from './cloud-event.dto.js';
import type { ReadEvent } from './stored-event.js';

/** The media type of a list of CloudEvents. */
export const CLOUD_EVENTS = 'application/cloudevents-batch+json';

/** CloudEvents allows none of these in an attribute, so such a value is left out; the event still has it. */
const FORBIDDEN = /[\p{Control}\p{Noncharacter_Code_Point}]/u;

export function cloudEvent(event: ReadEvent): CloudEvent {
  const { correlation_id, server_request_id, actor, schema_version } = event.meta as Partial<
    ReadEvent['meta']
  >;
  return {
    specversion: '1.0',
    id: event.id,
    source: sourceOf(event),
    type: event.type,
    subject: subjectOf(event),
    time: timeOf(event),
    datacontenttype: 'application/json',
    dataschema: schema_version === undefined ? undefined : schemaIdOf(event.type, schema_version),
    correlationid: correlation_id ?? undefined,
    serverrequestid: server_request_id ?? undefined,
    actorid: attributeOf(actor?.id),
    actorrole: attributeOf(actor?.role),
    actorname: attributeOf(actor?.name),
    priority: priorityOf(event.type) ?? undefined,
    schemaversion: schema_version,
    target: event.target ?? undefined,
    position: event.position,
    data: event.payload as object,
  };
}

/** A URI. The buffer replaces lone surrogates, which cannot be encoded, by U+FFFD. */
function sourceOf({ source }: ReadEvent): string {
  return `urn:brain:${encodeURIComponent(Buffer.from(String(source)).toString())}`;
}

/** The first subject of the event, as `?subject=` takes it. */
function subjectOf({ type, payload }: ReadEvent): string | undefined {
  const definition = definitionOf(type);
  const [subject] = definition ? subjectsOf(definition, payload) : [];
  return attributeOf(subject);
}

function attributeOf(text = ''): string | undefined {
  return text === '' || FORBIDDEN.test(text) ? undefined : text;
}

/** RFC 3339 has no years after 9999. */
function timeOf({ timestamp }: ReadEvent): string | undefined {
  const date = new Date(Math.round(timestamp * 1000));
  const year = date.getUTCFullYear();
  return year >= 0 && year <= 9999 ? date.toISOString() : undefined;
}
