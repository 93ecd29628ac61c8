/** The immune system over HTTP, on both stores, with the events read from the log. */
import { IMMUNE_EVENTS } from '../src/immune/immune.collection.js';
import type { ImmuneEventPage, ImmuneHealth } from '../src/immune/immune.dto.js';
import { SEVERITIES, TYPES } from '../src/immune/immune.health.js';
import { Store } from '../src/storage/store.js';
import { expectEnvelope } from './support/envelope.js';
import { type TemporaryFolder, temporaryFolder } from './support/folder.js';
import { RedisServer } from './support/redis-server.js';
import { type Service, startService } from './support/service.js';
import { type RunningStore, STORES } from './support/stores.js';

const report = { severity: 'WARNING', type: 'ERROR_SPIKE', message: 'Fetches fail' };
const critical = { severity: 'CRITICAL', type: 'RESOURCE_EXHAUSTION', message: 'No tokens are left' };

describe.each(STORES)('immune events on %s', (_name, startStore) => {
  let store: RunningStore;
  let folder: TemporaryFolder;
  let service: Service;

  const start = (env: Record<string, string> = {}): Promise<Service> =>
    startService({ ...store.env, BRAIN_DATA_DIR: folder.path, ...env });

  beforeEach(async () => {
    store = await startStore();
    folder = temporaryFolder();
    service = await start();
  }, 60_000);
  afterEach(async () => {
    await service.stop();
    await store.stop();
    folder.remove();
  });

  const publish = async (over: object = {}): Promise<number> =>
    (await service.post('/api/immune/event', { ...report, ...over }).expect(200)).body as number;
  const health = async (query = '', key?: string): Promise<ImmuneHealth> =>
    (await service.get(`/api/immune/health${query}`, key).expect(200)).body as ImmuneHealth;
  const list = async (query = ''): Promise<ImmuneEventPage> =>
    (await service.get(`/api/immune/events${query || '?'}&view=full`).expect(200)).body as ImmuneEventPage;
  const eventsOf = (id: number) => service.events({ subject: String(id) });

  describe('events', () => {
    it('a report publishes immune.event_published', async () => {
      const known = { agent_id: 'researcher-7', module: 'crawler', meta: { failed: 14, of: 20 } };
      const id = await publish(known);
      const { events } = await list();
      const [event, ...others] = await eventsOf(id);
      expect(others).toEqual([]);
      expect(event).toMatchObject({ type: 'immune.event_published', source: 'immune_service' });
      expect(event?.payload).toEqual({
        event_id: id,
        ...report,
        ...known,
        published_at: Date.parse(events[0].created_at) / 1000,
      });
    });

    it('a report with only the required fields publishes only these', async () => {
      const [event] = await eventsOf(await publish({ agent_id: null, module: null, meta: {} }));
      const fields = ['event_id', 'message', 'published_at', 'severity', 'type'];
      expect(Object.keys(event?.payload as object).sort()).toEqual(fields);
    });

    it('a critical report also publishes immune.critical_event', async () => {
      const id = await publish({ ...critical, agent_id: 'researcher-7' });
      const [published, second, ...others] = await eventsOf(id);
      expect(others).toEqual([]);
      expect([published.type, second.type]).toEqual(['immune.event_published', 'immune.critical_event']);
      const { published_at, ...same } = published.payload as { published_at: number };
      expect(second.payload).toEqual({ ...same, critical_at: published_at });
      const byAlias = await service.events({ type: 'immune.critical_issue_detected' });
      expect(byAlias).toEqual([second]);
    });

    it('each type and severity is published as it was reported', async () => {
      const kinds = SEVERITIES.flatMap((severity) => TYPES.map((type) => ({ severity, type })));
      for (const kind of kinds) {
        const events = await eventsOf(await publish(kind));
        expect(events.map(({ payload }) => payload)).toEqual(
          events.map(() => expect.objectContaining({ ...kind, message: report.message })),
        );
        expect([kind, events.length]).toEqual([kind, kind.severity === 'CRITICAL' ? 2 : 1]);
      }
      const { by_severity, by_type, active_issues } = await health();
      expect(active_issues).toBe(18);
      expect(by_severity).toEqual({ INFO: 6, WARNING: 6, CRITICAL: 6 });
      expect(by_type).toEqual(Object.fromEntries(TYPES.map((type) => [type, 3])));
    });

    it('all types of immune events have a valid envelope and match their schema', async () => {
      await service
        .post('/api/immune/event', { ...critical, agent_id: 'a', module: 'm', meta: { n: 1 } })
        .set('X-Correlation-ID', 'envelope-check')
        .expect(200);
      await publish();
      const mine = await service.events({ correlation_id: 'envelope-check' });
      expect(mine.map(({ type }) => type)).toEqual(['immune.event_published', 'immune.critical_event']);
      const all = await service.events({ type: 'immune.*' });
      expect(all).toHaveLength(3);
      for (const event of all) expectEnvelope(event);
      expect(new Set(all.map(({ id }) => id)).size).toBe(3);
    });

    it('reports are stored with events off', async () => {
      await service.stop();
      service = await start({ BRAIN_EVENTS: 'off' });
      const id = await publish(critical);
      expect(await health()).toMatchObject({ status: 'critical', last_events: [{ id }] });
      expect((await list()).total).toBe(1);
      expect((await service.get('/api/events').expect(404)).body.code).toBe('events_off');
    });
  });

  it('a report is published, stored, and in the summary', async () => {
    expect(await health()).toEqual({
      status: 'healthy',
      active_issues: 0,
      critical_issues: 0,
      last_events: [],
      by_severity: { INFO: 0, WARNING: 0, CRITICAL: 0 },
      by_type: Object.fromEntries(TYPES.map((type) => [type, 0])),
      window_minutes: 60,
      thresholds: { degraded_warnings: 10, degraded_share: 0.5 },
    });
    const healed = { severity: 'INFO', type: 'SELF_HEALING_ACTION', message: 'Restarted', module: 'crawler' };
    const first = await publish(healed);
    expect((await health()).status).toBe('healthy');
    const second = await publish(critical);
    expect(await eventsOf(first)).toHaveLength(1);
    expect(await eventsOf(second)).toHaveLength(2);
    const { events, total, next_cursor } = await list();
    const created_at = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect({ events, total, next_cursor }).toEqual({
      events: [
        { id: second, ...critical, agent_id: null, module: null, meta: {}, created_at },
        { id: first, ...healed, agent_id: null, meta: {}, created_at },
      ],
      total: 2,
      next_cursor: null,
    });
    expect(await health()).toMatchObject({
      status: 'critical',
      active_issues: 2,
      critical_issues: 1,
      last_events: [...events].reverse(),
      by_severity: { INFO: 1, WARNING: 0, CRITICAL: 1 },
    });
  });

  it('300 concurrent reports are all stored, and each has its own id', async () => {
    const severityOf = (i: number) => SEVERITIES[i % 3];
    const ids = await Promise.all(
      Array.from({ length: 300 }, (_, i) => publish({ severity: severityOf(i) })),
    );
    expect(new Set(ids).size).toBe(300);
    const { active_issues, by_severity, last_events } = await health();
    expect(active_issues).toBe(300);
    expect(by_severity).toEqual({ INFO: 100, WARNING: 100, CRITICAL: 100 });
    expect(last_events).toHaveLength(10);
    const { events } = await list('?limit=500');
    expect(last_events).toEqual(events.slice(0, 10).reverse());
    expect(events.map(({ id }) => id).sort((a, b) => a - b)).toEqual(ids.sort((a, b) => a - b));
    expect(await service.events({ type: 'immune.*' })).toHaveLength(400);
  });

  it('the health is degraded by the number of warnings, with any number of harmless events', async () => {
    const harmless = { severity: 'INFO', type: 'SELF_HEALING_ACTION' };
    await Promise.all(Array.from({ length: 30 }, () => publish(harmless)));
    for (let i = 0; i < 10; i += 1) await publish({ agent_id: 'researcher-7' });
    expect((await health()).status).toBe('healthy');
    await publish({ agent_id: 'researcher-7' });
    expect(await health()).toMatchObject({
      status: 'degraded',
      active_issues: 41,
      critical_issues: 0,
      by_severity: { INFO: 30, WARNING: 11 },
      by_type: { ERROR_SPIKE: 11, SELF_HEALING_ACTION: 30 },
    });
    expect((await list('?agent_id=researcher-7')).total).toBe(11);
  });

  it('the thresholds are settings, and the answer has them', async () => {
    await service.stop();
    service = await start({ BRAIN_IMMUNE_DEGRADED_WARNINGS: '1', BRAIN_IMMUNE_DEGRADED_SHARE: '1' });
    await publish();
    expect(await health()).toMatchObject({
      status: 'healthy',
      thresholds: { degraded_warnings: 1, degraded_share: 1 },
    });
    await publish();
    expect((await health()).status).toBe('degraded');
  });

  it('the health without a key has numbers and no events', async () => {
    await publish({ ...critical, message: 'not for everybody', agent_id: 'secret-agent' });
    const { last_events, ...numbers } = await health();
    expect(last_events).toHaveLength(1);
    for (const key of ['', 'brn_wrong']) {
      const answer = await service.get('/api/immune/health', key).expect(200);
      expect(answer.body).toEqual(numbers);
    }
  });

  it('the health counts exactly the events in the window, up to the longest window', async () => {
    // Half a minute off every window, so that the test may take its time.
    const ages = Array.from({ length: 400 }, (_, i) => ((i * 37) % 2000) + 0.5);
    const kindOf = (i: number) => ({ severity: SEVERITIES[i % 3], type: TYPES[i % 6] }) as const;
    const at = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();
    await service.app.get(Store).transaction((tx) => {
      const rest = { agent_id: null, module: null, message: 'm', meta: {} };
      ages.forEach((age, i) => {
        tx.insert(IMMUNE_EVENTS, { id: i + 1, ...rest, ...kindOf(i), created_at: at(age) });
      });
    });
    for (const minutes of [1, 4, 5, 6, 60, 777, 1440]) {
      const inside = ages.flatMap((age, i) => (age < minutes ? [kindOf(i)] : []));
      const { active_issues, by_severity, by_type } = await health(`?minutes=${minutes}`);
      expect([minutes, active_issues]).toEqual([minutes, inside.length]);
      for (const one of SEVERITIES) {
        expect(by_severity[one]).toBe(inside.filter(({ severity }) => severity === one).length);
      }
      for (const one of TYPES) expect(by_type[one]).toBe(inside.filter(({ type }) => type === one).length);
    }
  });

  it('the ids are integers that grow, also over a restart', async () => {
    const answer = await service.post('/api/immune/event', report).expect(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.text).toMatch(/^\d+$/);
    const ids = [answer.body as number, await publish(), await publish()];
    await service.stop();
    service = await start();
    ids.push(await publish(), await publish());
    expect([...ids].sort((a, b) => a - b)).toEqual(ids);
    expect(new Set(ids).size).toBe(5);
    expect((await list()).events.map(({ id }) => id)).toEqual([...ids].reverse());
    expect((await health()).active_issues).toBe(5);
  });

  describe('reports', () => {
    it('may contain any id and time, which are replaced', async () => {
      const first = await publish();
      for (const own of [
        { id: 1, created_at: '2001-01-01T00:00:00Z' },
        { id: null, created_at: null },
        { id: 'x', created_at: { at: 1 } },
      ]) {
        expect(await publish(own)).toBeGreaterThan(first);
      }
      const { events } = await list();
      for (const { created_at } of events) {
        expect(Math.abs(Date.parse(created_at) - Date.now())).toBeLessThan(60_000);
      }
    });

    it('are stored once per Idempotency-Key', async () => {
      const once = (over: object = {}) =>
        service.post('/api/immune/event', { ...report, ...over }).set('Idempotency-Key', 'one-and-only');
      const first = await once().expect(200);
      const again = await once().expect(200);
      expect([again.body, again.text]).toEqual([first.body, first.text]);
      expect((await once({ message: 'other' }).expect(422)).body.code).toBe('idempotency_key_reused');
      expect((await list()).total).toBe(1);
      expect(await service.events({ type: 'immune.event_published' })).toHaveLength(1);
    });

    it('may have 32 KiB of meta', async () => {
      const withBytes = (bytes: number) =>
        service.post('/api/immune/event', { ...report, meta: { x: 'x'.repeat(bytes - '{"x":""}'.length) } });
      await withBytes(32 * 1024).expect(200);
      const refused = await withBytes(32 * 1024 + 1).expect(422);
      expect(refused.body.errors).toEqual([
        { pointer: '/meta', detail: expect.stringContaining('at most 32 KiB'), code: 'max_bytes' },
      ]);
    });

    it('with faults are refused with every fault at once', async () => {
      const answer = await service
        .post('/api/immune/event', {
          severity: 'critical',
          type: 'OTHER',
          meta: [],
          agent_id: '',
          module: 5,
          category: 'x',
        })
        .expect(422);
      const faults = (answer.body as { errors: { pointer: string; code: string }[] }).errors;
      expect(faults.map(({ pointer, code }) => [pointer, code]).sort()).toEqual([
        ['/agent_id', 'text'],
        ['/category', 'unknown_field'],
        ['/message', 'required'],
        ['/meta', 'json_object'],
        ['/module', 'text'],
        ['/severity', 'one_of'],
        ['/type', 'one_of'],
      ]);
      await service.post('/api/immune/event', { ...report, message: 'x'.repeat(4097) }).expect(422);
      expect((await list()).total).toBe(0);
      expect(await service.events({ type: 'immune.*' })).toEqual([]);
    });
  });

  describe('lists', () => {
    it('have filters, pages with the newest first, and a total', async () => {
      const ids: number[] = [];
      for (let i = 0; i < 7; i += 1) {
        ids.unshift(await publish({ module: 'crawler', agent_id: i % 2 ? 'odd' : 'even' }));
      }
      await publish({ ...critical, module: 'other' });
      const first = await list('?module=crawler&limit=4');
      expect(first).toMatchObject({ total: 7, next_cursor: expect.any(String) });
      const second = await list(`?module=crawler&limit=4&cursor=${first.next_cursor}`);
      expect(second.next_cursor).toBeNull();
      expect([...first.events, ...second.events].map(({ id }) => id)).toEqual(ids);
      expect((await list('?severity=CRITICAL')).total).toBe(1);
      expect((await list('?type=RESOURCE_EXHAUSTION')).total).toBe(1);
      expect((await list('?module=crawler&agent_id=odd&severity=WARNING&type=ERROR_SPIKE')).total).toBe(3);
      expect((await list('?agent_id=nobody')).events).toEqual([]);
    });

    it('start at a given time', async () => {
      await publish();
      const id = await publish({ message: 'later' });
      const [{ created_at }] = (await list()).events;
      const since = Date.parse(created_at) / 1000;
      const from = await list(`?since=${since}`);
      expect(from.events.map((event) => event.id)).toContain(id);
      expect(from.events.every((event) => Date.parse(event.created_at) / 1000 >= since)).toBe(true);
      expect(await list(`?since=${since + 60}`)).toEqual({ events: [], total: 0, next_cursor: null });
    });

    it('and the health refuse unknown parameters and values', async () => {
      for (const path of [
        'events?severity=critical',
        'events?type=OTHER',
        'events?since=yesterday',
        'events?since=-1',
        'events?limit=0',
        'events?limit=501',
        'events?cursor=rubbish',
        'events?kind=x',
        'health?minutes=0',
        'health?minutes=1441',
        'health?minutes=1.5',
        'health?minutes=ten',
        'health?hours=1',
      ]) {
        const { status } = await service.get(`/api/immune/${path}`);
        expect([path, status]).toEqual([path, 422]);
      }
    });
  });
});

describe('immune events while the store is away', () => {
  it('get 503 with Retry-After, as does the health', async () => {
    const redis = await RedisServer.start();
    const service = await startService({ REDIS_URL: redis.url });
    await service.post('/api/immune/event', report).expect(200);
    await redis.kill();
    for (const answer of [
      await service.get('/api/immune/health', ''),
      await service.get('/api/immune/health'),
      await service.get('/api/immune/events'),
      await service.post('/api/immune/event', report),
    ]) {
      expect([answer.status, answer.headers['content-type']]).toEqual([
        503,
        'application/problem+json; charset=utf-8',
      ]);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    }
    await service.stop();
    await redis.stop();
  });
});
