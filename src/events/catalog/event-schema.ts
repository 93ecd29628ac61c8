/** The schema and the example of a type of event: the same for the catalog, AsyncAPI, EVENTS.md and the tests. */
import { type JsonSchema, schemaOfClass } from '../../shared/class-schema.js';
import { serviceActor } from '../../shared/context.js';
import type { EventDefinition } from '../event.js';
import { EventAnswer } from '../log/events.dto.js';
import { LOG_MODULE } from '../log.events.js';

const ACTOR = { id: 'key_8vzn7ryx3d0q', role: 'operator', name: 'ops' };

/** Each schema version of a type has an id of its own. */
export function schemaIdOf(type: string, schemaVersion: number): string {
  return `urn:brain:schema:${type}:${schemaVersion}`;
}

/** The schema of the payload. It allows no other fields; a change of it raises the schema version. */
export function schemaOf({ type, schemaVersion, payload }: EventDefinition): JsonSchema {
  return { $id: schemaIdOf(type, schemaVersion), title: type, ...schemaOfClass(payload) };
}

/** The envelope of any event, as readers of the API get it. */
export function envelopeSchema(): JsonSchema {
  return { $id: 'urn:brain:schema:envelope:1.0', title: 'envelope', ...schemaOfClass(EventAnswer) };
}

/** What the envelope of one type must have in addition to `envelopeSchema`. */
export function constraintsOf(definition: EventDefinition, payload: JsonSchema): JsonSchema {
  return {
    type: 'object',
    properties: {
      type: { const: definition.type },
      source: { const: `${definition.module}_service` },
      payload,
      meta: { type: 'object', properties: { schema_version: { const: definition.schemaVersion } } },
    },
  };
}

/** An event of this type as readers of the API get it. */
export function exampleOf({ type, module, schemaVersion, example }: EventDefinition): EventAnswer {
  return {
    id: `evt_${module}_1735424567890_k3v9x2ab`,
    type,
    source: `${module}_service`,
    target: null,
    timestamp: 1735424567.89,
    payload: example,
    meta: {
      correlation_id: 'k3v9x2abq8w1z4m7p0t5',
      server_request_id: 'k3v9x2abq8w1z4m7p0t5',
      actor: module === LOG_MODULE ? serviceActor(module) : ACTOR,
      version: '1.0',
      schema_version: schemaVersion,
    },
    position: '1735424567893-0',
  };
}
