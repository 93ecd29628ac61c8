/** Holds an event against Charter v1.0 and against the definition of its type. */

import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { catalog, type Envelope } from '../../src/events/event.js';

export function expectCharter(event: Envelope & { position: string }): void {
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
    version: '1.0',
    schema_version: definition.schemaVersion,
  });
  const faults = validateSync(plainToInstance(definition.payload, event.payload), {
    whitelist: true,
    forbidNonWhitelisted: true,
  });
  expect([event.type, faults.map(String)]).toEqual([event.type, []]);
}
