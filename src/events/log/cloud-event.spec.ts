import { Text } from '../../shared/fields.js';
import { defineEvent } from '../event.js';
import { streamGap } from '../log.events.js';
import { cloudEvent } from './cloud-event.js';
import type { ReadEvent } from './stored-event.js';

class Payload {
  @Text({ max: 128 }) threat_id!: string;
  @Text({ max: 128 }) agent_id!: string;
  @Text({ max: 128 }) event_id!: string;
}

defineEvent({
  type: 'threat.detected',
  module: 'threat',
  payload: Payload,
  subjects: ['threat_id', 'agent_id', 'event_id'],
  priority: 'CRITICAL',
  when: 'The tests say so.',
  example: { threat_id: 't', agent_id: 'a', event_id: 'e' },
  consumers: [],
  of: (payload: Payload): Payload => payload,
});

const event: ReadEvent = {
  id: 'evt_threat_1735424567890_k3v9x2ab',
  type: 'threat.detected',
  source: 'threat_service',
  target: null,
  timestamp: 1735424567.89,
  payload: { threat_id: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11', severity: 'HIGH' },
  meta: {
    correlation_id: 'cause-1',
    server_request_id: 'k3v9x2abq8w1z4m7p0t5',
    actor: { id: 'key_1', role: 'operator', name: 'ops' },
    version: '1.0',
    schema_version: 2,
  },
  position: '1735424567893-0',
};
const json = (one: ReadEvent): Record<string, unknown> =>
  JSON.parse(JSON.stringify(cloudEvent(one))) as Record<string, unknown>;

/** The attributes that the specification defines; every other one is an extension. */
const DEFINED = [
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'datacontenttype',
  'dataschema',
  'data',
];

describe('an event as CloudEvent', () => {
  it('has every attribute', () => {
    expect(json(event)).toEqual({
      specversion: '1.0',
      id: 'evt_threat_1735424567890_k3v9x2ab',
      source: 'urn:brain:threat_service',
      type: 'threat.detected',
      subject: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11',
      time: '2024-12-28T22:22:47.890Z',
      datacontenttype: 'application/json',
      dataschema: 'urn:brain:schema:threat.detected:2',
      correlationid: 'cause-1',
      serverrequestid: 'k3v9x2abq8w1z4m7p0t5',
      actorid: 'key_1',
      actorrole: 'operator',
      actorname: 'ops',
      priority: 'CRITICAL',
      schemaversion: 2,
      position: '1735424567893-0',
      data: event.payload,
    });
    const gap = json({ ...event, type: streamGap.type, target: 'audit' });
    expect(gap).toMatchObject({ priority: 'CRITICAL', target: 'audit' });
  });

  it('leaves out an unknown attribute, and has no null or empty one', () => {
    const causeless = { ...event.meta, correlation_id: null, server_request_id: null };
    const bare = json({ ...event, payload: {}, meta: causeless });
    expect(Object.keys(bare)).not.toEqual(expect.arrayContaining(['subject']));
    expect(Object.keys(bare)).not.toEqual(expect.arrayContaining(['correlationid']));
    expect(Object.keys(bare)).not.toEqual(expect.arrayContaining(['serverrequestid']));
    expect(Object.values(bare)).not.toContain(null);
    expect(Object.values(bare)).not.toContain('');
  });

  it('has attribute names of lower-case letters and digits, and types that CloudEvents allows', () => {
    for (const [name, value] of Object.entries(json({ ...event, target: 'audit' }))) {
      expect(name).toMatch(/^[a-z0-9]{1,20}$/);
      if (name === 'data') continue;
      // Strings, and integers of 32 bits; objects and lists are no attributes.
      expect([
        name,
        typeof value === 'string' || (Number.isInteger(value) && value === ~~Number(value)),
      ]).toEqual([name, true]);
      if (!DEFINED.includes(name)) expect(name).not.toMatch(/^data/);
    }
  });

  it('has URIs for source and schema, and the time as RFC 3339', () => {
    const made = json({ ...event, source: 'another service/ü', timestamp: 0.0004 });
    expect(made.source).toBe('urn:brain:another%20service%2F%C3%BC');
    expect(new URL(made.source as string).protocol).toBe('urn:');
    expect(new URL(made.dataschema as string).protocol).toBe('urn:');
    expect(made.time).toBe('1970-01-01T00:00:00.000Z');
  });

  it('has no time if the event has none', () => {
    for (const timestamp of [Number.NaN, undefined, 1e300, 253_402_300_800, -62_167_219_201]) {
      expect(json({ ...event, timestamp: timestamp as number }).time).toBeUndefined();
    }
  });

  it('is also made from an incomplete event of another program', () => {
    const foreign = {
      ...event,
      source: 'half \ud800',
      timestamp: undefined,
      meta: {},
    } as unknown as ReadEvent;
    const { id, type, position, data, specversion, datacontenttype, subject, priority } = json(event);
    expect(json(foreign)).toEqual({
      ...{ id, type, position, data, specversion, datacontenttype, subject, priority },
      source: 'urn:brain:half%20%EF%BF%BD',
    });
  });

  it.each([
    [{ threat_id: 't', agent_id: 'a' }, 't'],
    [{ agent_id: 'a' }, 'a'],
    [{ event_id: 17 }, '17'],
    [{ agent_id: 'a\nb' }, undefined],
    [{ agent_id: 'a\uffff' }, undefined],
    [{ agent_id: '' }, undefined],
    [{ other: 'x' }, undefined],
  ])('with the payload %j has the subject %s', (payload, subject) => {
    expect(json({ ...event, payload }).subject).toBe(subject);
  });

  it('has no subject if its type is unknown', () => {
    expect(json({ ...event, type: 'other.type' }).subject).toBeUndefined();
  });
});
