/** Checks the envelope of an event, and the whole event by the schemas in the catalog. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { constraintsOf, envelopeSchema, schemaOf } from '../../src/events/catalog/event-schema.js';
import { catalog, type Envelope } from '../../src/events/event.js';

const ajv = new Ajv2020({ strictTypes: true, strictSchema: true, allowUnionTypes: true, allErrors: true });
const compiled = new Map<string, ValidateFunction>();

/** The faults of a whole event by the schemas of its type. */
export function faultsOf(event: { type: string }): string[] {
  const definition = catalog().find(({ type }) => type === event.type);
  if (!definition) return [`${event.type} is in no catalog`];
  const schema = { allOf: [envelopeSchema(), constraintsOf(definition, schemaOf(definition))] };
  const validate = compiled.get(event.type) ?? ajv.compile(schema);
  compiled.set(event.type, validate);
  return validate(event)
    ? []
    : (validate.errors ?? []).map((fault) => `${fault.instancePath} ${fault.message}`);
}

/** The event has every field of the envelope, and only these, and it is valid by its schema. */
export function expectEnvelope(event: Envelope & { position: string }): void {
  expect(Object.keys(event).sort()).toEqual(
    ['id', 'meta', 'payload', 'position', 'source', 'target', 'timestamp', 'type'].sort(),
  );
  const definition = catalog().find(({ type }) => type === event.type);
  if (!definition) throw new Error(`${event.type} is in the log and in no catalog`);
  expect(event.id).toMatch(new RegExp(`^evt_${definition.module}_\\d{13}_[0-9a-z]{8}$`));
  expect(event.source).toBe(`${definition.module}_service`);
  expect(event.target).toBeNull();
  expect(Math.abs(event.timestamp - Date.now() / 1000)).toBeLessThan(3600);
  expect(event.position).toMatch(/^\d+-\d+$/);
  expect(event.meta).toEqual({
    correlation_id: event.meta.correlation_id,
    server_request_id: event.meta.server_request_id === null ? null : expect.stringMatching(/^[0-9a-z]{20}$/),
    actor: { id: expect.any(String), role: expect.any(String), name: expect.any(String) },
    version: '1.0',
    schema_version: definition.schemaVersion,
  });
  expect([event.type, faultsOf(event)]).toEqual([event.type, []]);
}
