/** Makes the envelope of a published event, masks and serializes it, and computes its index keys. */
import { type Actor, serviceActor } from '../../shared/context.js';
import { messageOf } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import type { Mask } from '../../shared/mask.js';
import type { EventRecord } from '../../storage/event-log.js';
import { correlationKey, type Envelope, type EventDefinition, subjectKey, subjectsOf } from '../event.js';
import { LOG_MODULE, type StreamGap, streamGap } from '../log.events.js';

/** An event as it was published. */
export interface UnserializedEvent {
  definition: EventDefinition;
  payload: object;
  timestamp: number;
  correlation: string | null;
  /** The id that the service made for the request, if there is one. */
  request?: string;
  /** The caller, if there is one. */
  actor?: Actor;
}

/** An event as the log stores it. */
export interface SerializedEvent extends EventRecord {
  type: string;
  timestamp: number;
  /** If this event is lost, events may be missing since then: its own time, or the beginning of the gap that it reports. */
  since: number;
  /** The payload, if it is a gap. */
  gap?: StreamGap;
}

export class EventSerializer {
  constructor(
    private readonly mask: Mask,
    private readonly trouble: (what: string, error: unknown) => void,
  ) {}

  serialize(event: UnserializedEvent): SerializedEvent {
    const { definition, payload, timestamp, correlation, request = null, actor } = event;
    const { type, module, schemaVersion } = definition;
    const envelope: Envelope = {
      id: `evt_${module}_${Math.round(timestamp * 1000)}_${randomId(8)}`,
      type,
      source: `${module}_service`,
      target: null,
      timestamp,
      payload,
      meta: {
        correlation_id: correlation,
        server_request_id: request,
        actor: actor && module !== LOG_MODULE ? actor : serviceActor(module),
        version: '1.0',
        schema_version: schemaVersion,
      },
    };
    const gap = type === streamGap.type ? (payload as StreamGap) : undefined;
    const since = Math.min(timestamp, gap?.from ?? timestamp);
    const json = this.jsonOf(envelope);
    // Computed after masking: an id that is masked in the payload is masked in the index too.
    const keys = subjectsOf(definition, envelope.payload).map(subjectKey);
    if (correlation !== null) keys.push(correlationKey(correlation));
    return { json, keys, type, timestamp, since, gap };
  }

  private jsonOf(envelope: Envelope): string {
    try {
      envelope.payload = this.mask(envelope.payload as object);
      return JSON.stringify(envelope);
    } catch (error) {
      this.trouble(`the payload of a ${envelope.type} could not be serialized`, error);
      envelope.payload = { unserializable: messageOf(error) };
      return JSON.stringify(envelope);
    }
  }
}
