/** The catalog of events and EVENTS.md describe what the service publishes. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Catalog } from '../src/events/catalog/catalog.dto.js';
import { FLOWS } from '../src/events/catalog/flows.js';
import { aliasesOf, catalog as definitions } from '../src/events/event.js';
import { EventStream } from '../src/events/event-stream.js';
import { streamGap } from '../src/events/log.events.js';
import { Denials } from '../src/security/denials.js';
import type { Retention } from '../src/storage/retention.js';
import type { Threat } from '../src/threats/threats.dto.js';
import { type CurlRequest, curlRequests } from './support/curl.js';
import { faultsOf } from './support/envelope.js';
import { hasStatus } from './support/missions.js';
import { ADMIN, type Service, startService } from './support/service.js';
import { SseClient } from './support/sse-client.js';
import { serviceOn, startEmbedded } from './support/stores.js';
import { until } from './support/until.js';

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
    const description = expect.stringMatching(/\w/) as string;
    expect(catalog.types.find(({ type }) => type === 'threat.seen_again')).toEqual({
      type: 'threat.seen_again',
      module: 'threat',
      priority: 'MEDIUM',
      decision: false,
      schema_version: 2,
      when: expect.stringMatching(/\.$/),
      aliases: [],
      consumers: expect.arrayContaining([expect.stringContaining('Metrics')]),
      schema: {
        $id: 'urn:brain:schema:threat.seen_again:2',
        title: 'threat.seen_again',
        type: 'object',
        properties: {
          threat_id: { type: 'string', minLength: 1, maxLength: 128, description },
          type: { type: 'string', minLength: 1, maxLength: 128, description },
          source: { type: 'string', minLength: 1, maxLength: 256, description },
          severity: { type: 'string', enum: ['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'], description },
          reported_severity: { type: 'string', enum: ['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'], description },
          description: { type: 'string', minLength: 1, maxLength: 4096, description },
          metadata: { type: 'object', additionalProperties: true, description },
          occurrences: { type: 'integer', minimum: 2, description },
          seen_at: { type: 'number', description },
        },
        required: [
          ...['threat_id', 'type', 'source', 'severity', 'reported_severity', 'metadata', 'occurrences'],
          'seen_at',
        ],
        additionalProperties: false,
      },
      example: expect.objectContaining({ type: 'threat.seen_again', source: 'threat_service' }),
    });
  });

  it('has schemas that accept their examples and refuse other events', () => {
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

  it('is available when events are off', async () => {
    const silent = await startService({ BRAIN_EVENTS: 'off' });
    expect((await silent.get('/api/events/catalog').expect(200)).body).toEqual(catalog);
    await silent.stop();
  });
});

/** The types of this release and their aliases. Consumers depend on these names. */
const NAMES: Record<string, string[]> = {
  'policy.rule_evaluated': ['policy.evaluated'],
  'policy.tested': [],
  'policy.action_denied': ['policy.denied'],
  'policy.warning_triggered': [],
  'policy.audit_required': [],
  'policy.decisions_summed': [],
  'policy.created': [],
  'policy.updated': [],
  'policy.deleted': [],
  'policy.rule_created': [],
  'policy.rule_updated': [],
  'policy.rule_deleted': [],
  'policy.rule_enabled': [],
  'policy.rule_disabled': [],
  'threat.deleted': [],
  'threat.detected': [],
  'threat.seen_again': [],
  'threat.status_changed': [],
  'threat.severity_changed': [],
  'threat.escalated': [],
  'threat.mitigated': [],
  'immune.event_published': [],
  'immune.critical_event': ['immune.critical_issue_detected'],
  'mission.created': [],
  'mission.status_changed': [],
  'mission.deleted': [],
  'mission.log_appended': [],
  'access.key_created': [],
  'access.key_rotated': [],
  'access.key_expired': [],
  'access.key_revoked': [],
  'access.denied': [],
  'stream.gap': [],
  'stream.trimmed': [],
};

describe('the names of events', () => {
  it('are unchanged, aliases included', () => {
    expect(definitions().map(({ type }) => type)).toEqual(Object.keys(NAMES).sort());
    for (const [type, aliases] of Object.entries(NAMES)) expect(aliasesOf(type)).toEqual(aliases);
  });

  it('are the only ones in the flows of EVENTS.md', () => {
    for (const { title, steps } of FLOWS) {
      expect([title, steps.filter(({ type }) => NAMES[type] === undefined)]).toEqual([title, []]);
    }
  });
});

describe('a service', () => {
  const service = serviceOn(startEmbedded, { BRAIN_EVENTS_MAX_LENGTH: '1000' });

  /** Publishes every type of the domains. */
  async function useAllDomains(): Promise<void> {
    const post = async (path: string, body: object = {}): Promise<string> => {
      const answer = await service.post(path, body);
      expect([path, answer.status < 300]).toEqual([path, true]);
      return (answer.body as { id: string }).id;
    };
    const policies = '/api/policy/policies';
    const effects = ['allow', 'deny', 'warn', 'audit'];
    const rules = effects.map((effect) => ({
      rule_id: effect,
      name: effect,
      effect,
      conditions: [{ field: 'action', operator: '==', value: `do.${effect}` }],
    }));
    await post(policies, { policy_id: 'p', name: 'p', rules });
    for (const effect of effects)
      await post('/api/policy/evaluate', { agent_id: 'a', action: `do.${effect}` });
    await post('/api/policy/test-rule', { agent_id: 'a', action: 'do.allow' });
    await service.put(`${policies}/p/rules/warn`, { priority: 1 }).expect(200);
    for (const change of ['disable', 'enable']) await post(`${policies}/p/rules/warn/${change}`);
    await service.delete(`${policies}/p`).expect(204);

    const report = { type: 't', source: 's', severity: 'LOW', fingerprint: 'f' };
    const threat = await post('/api/threats', report);
    await post('/api/threats', report);
    await post(`/api/threats/${threat}/severity`, { severity: 'HIGH' });
    await post(`/api/threats/${threat}/status`, { status: 'MITIGATED' });
    await service.delete(`/api/threats/${threat}`).expect(204);
    await post('/api/immune/event', { severity: 'CRITICAL', type: 'AGENT_FAILURE', message: 'm' });
    const mission = await post('/api/missions', { name: 'm' });
    await post(`/api/missions/${mission}/status`, { status: 'RUNNING' });
    await post(`/api/missions/${mission}/log`, { message: 'm' });
    await service.delete(`/api/missions/${await post('/api/missions', { name: 'm' })}`).expect(204);
    const key = await post('/api/keys', { name: 'k', role: 'viewer' });
    await post(`/api/keys/${key}/rotate`, { overlap_minutes: 0 });
    await service.app.get<Retention<unknown>>('key-expiry').sweep();
    await service.delete(`/api/keys/${key}`).expect(204);
    await service.get('/api/threats', '').expect(401);
    service.app.get(Denials).publish();
  }

  /** Fills the log: it is trimmed, and allowed decisions are summed up from then on. */
  async function fillLog(): Promise<void> {
    const denied = { agent_id: 'a', action: 'nothing' };
    const evaluations = Array.from({ length: 1000 }, () => denied);
    await service.post('/api/policy/evaluate/batch', { evaluations }).expect(200);
    const stream = service.app.get(EventStream);
    await until(() => stream.condensing, 10_000, 'the trim');
    await service
      .post('/api/policy/evaluate', { agent_id: 'a', agent_role: 'admin', action: 'b' })
      .expect(200);
    stream.publish(streamGap({ reason: 'overflow', counts: { x: 1 }, from: 1, to: 2, detected_at: 3 }));
    await stream.close();
  }

  it('publishes every type of the catalog, and no other', async () => {
    await useAllDomains();
    const events = await service.events();
    await fillLog();
    events.push(...(await service.events()));
    expect(events.flatMap((event) => faultsOf(event))).toEqual([]);
    expect([...new Set(events.map(({ type }) => type))].sort()).toEqual(
      definitions().map(({ type }) => type),
    );
  }, 30_000);
});

describe('EVENTS.md', () => {
  const page = readFileSync(resolve(__dirname, '../EVENTS.md'), 'utf8');
  let service: Service;

  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.stop());

  const report = {
    type: 'prompt_injection',
    source: 'agent:researcher-7',
    severity: 'MEDIUM',
    fingerprint: 'f',
  };
  const make = async (over: object = {}): Promise<string> =>
    ((await service.post('/api/threats', { ...report, ...over })).body as Threat).id;
  const stepsOf = (title: string): string[] =>
    FLOWS.find((flow) => flow.title === title)?.steps.map(({ type }) => type) ?? [];
  const typesOf = async (id: string): Promise<string[]> =>
    (await service.events({ subject: id })).map(({ type }) => type);

  it('describes the flows whose types all exist, and no others', () => {
    const described = FLOWS.filter(({ title }) => page.includes(`### ${title}\n`));
    const types = definitions().map(({ type }) => type);
    const real = FLOWS.filter(({ steps }) => steps.every(({ type }) => types.includes(type)));
    expect(described).toEqual(real);
    expect(described.map(({ title }) => title)).toEqual(
      expect.arrayContaining([
        'The life of a threat',
        'An escalation',
        'A critical immune event',
        'A mission',
      ]),
    );
  });

  it('describes the life of a threat as it happens', async () => {
    const id = await make();
    expect(await make()).toBe(id);
    for (const status of ['INVESTIGATING', 'MITIGATED', 'RESOLVED']) {
      await service.post(`/api/threats/${id}/status`, { status }).expect(200);
    }
    expect(await typesOf(id)).toEqual(stepsOf('The life of a threat'));
  });

  it('describes an escalation as it happens', async () => {
    const id = await make({ fingerprint: undefined });
    await service.post(`/api/threats/${id}/severity`, { severity: 'HIGH' }).expect(200);
    expect(await typesOf(id)).toEqual(stepsOf('An escalation'));
  });

  it('describes a critical immune event as it happens', async () => {
    const event = { severity: 'CRITICAL', type: 'AGENT_FAILURE', message: 'It does not answer any more' };
    const id = (await service.post('/api/immune/event', event).expect(200)).body as number;
    expect(await typesOf(String(id))).toEqual(stepsOf('A critical immune event'));
  });

  it('describes a mission as it happens', async () => {
    const { id } = (await service.post('/api/missions', { name: 'A mission' }).expect(201)).body as {
      id: string;
    };
    await service.post(`/api/missions/${id}/execute`).expect(202);
    await hasStatus(service, id, 'COMPLETED', 15_000);
    expect(await typesOf(id)).toEqual(stepsOf('A mission'));
  });

  it('has requests that get 200', async () => {
    const [{ position }] = await service.events();
    const { next_cursor } = (await service.get('/api/events?order=asc&limit=1')).body;
    const given = { KEY: ADMIN, THREAT: 'any', AGENT: 'any', CORRELATION: 'any' };
    const requests = curlRequests(page, { ...given, POSITION: position, CURSOR: next_cursor });
    const live = ({ path }: CurlRequest): boolean => path.startsWith('/api/events/stream');
    expect(requests.filter(live).length).toBeGreaterThan(3);
    expect(requests.filter((request) => !live(request)).length).toBeGreaterThan(10);
    for (const { line, path, headers } of requests.filter((request) => !live(request))) {
      const answer = await service.get(path, '').set(headers);
      expect([line, answer.status]).toEqual([line, 200]);
    }
    for (const { line, path, headers } of requests.filter(live)) {
      const { Authorization: _, ...more } = headers;
      const client = await SseClient.open((await service.app.getUrl()) + path, ADMIN, more['Last-Event-ID']);
      expect([line, client.status]).toEqual([line, 200]);
      client.close();
    }
  });
});
