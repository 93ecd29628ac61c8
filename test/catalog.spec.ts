/** What the service tells about its events: the catalog, and that what is really published keeps to it. */
import type { Catalog } from '../src/events/catalog.dto.js';
import { faultsOf } from './support/charter.js';
import { type Service, startService } from './support/service.js';

describe('the catalog', () => {
  let service: Service;
  let catalog: Catalog;

  beforeAll(async () => {
    service = await startService();
    catalog = (await service.get('/api/events/catalog').expect(200)).body as Catalog;
  });
  afterAll(() => service.stop());

  it('has every type with schema, example, priority and consumers', () => {
    expect(catalog.types.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['stream.gap', 'threat.detected', 'threat.escalated', 'threat.mitigated']),
    );
    expect(catalog.types.find(({ type }) => type === 'threat.seen_again')).toEqual({
      type: 'threat.seen_again',
      module: 'threat',
      priority: 'MEDIUM',
      schema_version: 1,
      when: expect.stringMatching(/\.$/),
      aliases: [],
      consumers: expect.arrayContaining([expect.stringContaining('Metrics')]),
      schema: {
        $id: 'urn:brain:schema:threat.seen_again:1',
        title: 'threat.seen_again',
        type: 'object',
        properties: {
          threat_id: { type: 'string', minLength: 1, maxLength: 128 },
          type: { type: 'string', minLength: 1, maxLength: 128 },
          source: { type: 'string', minLength: 1, maxLength: 256 },
          severity: { type: 'string', enum: ['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'] },
          occurrences: { type: 'integer', minimum: 2 },
          seen_at: { type: 'number' },
        },
        required: ['threat_id', 'type', 'source', 'severity', 'occurrences', 'seen_at'],
        additionalProperties: false,
      },
      example: expect.objectContaining({ type: 'threat.seen_again', source: 'threat_service' }),
    });
  });

  it('has schemas that its examples keep to, and that refuse what is not theirs', () => {
    for (const { type, example } of catalog.types) {
      expect([type, faultsOf(example)]).toEqual([type, []]);
      const [first = ''] = Object.keys(example.payload);
      const { [first]: _, ...without } = example.payload as Record<string, unknown>;
      const wrong = [
        { ...example, payload: { ...example.payload, extra: 1 } },
        { ...example, payload: without },
        { ...example, meta: { ...example.meta, schema_version: 99 } },
        { ...example, source: 'another_service' },
        { ...example, position: 'first' },
      ];
      for (const event of wrong) expect([type, faultsOf(event).length]).not.toEqual([type, 0]);
    }
  });

  it('is there when events are off', async () => {
    const silent = await startService({ BRAIN_EVENTS: 'off' });
    expect((await silent.get('/api/events/catalog').expect(200)).body).toEqual(catalog);
    await silent.stop();
  });
});
