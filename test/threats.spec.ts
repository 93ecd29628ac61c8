/** Threats over HTTP, on both stores, with the events read from the log. */
import type { Threat } from '../src/threats/threats.dto.js';
import { MOVES, STATUSES, type ThreatStatus } from '../src/threats/threats.lifecycle.js';
import { expectEnvelope } from './support/envelope.js';
import type { Service } from './support/service.js';
import { STORES, serviceOn, withService } from './support/stores.js';

const report = { type: 'prompt_injection', source: 'agent:researcher-7', severity: 'HIGH' };
const unknown = '00000000-0000-4000-8000-000000000000';

describe.each(STORES)('threats on %s', (_name, startStore) => {
  const service = serviceOn(startStore);

  const make = async (over: object = {}): Promise<Threat> =>
    (await service.post('/api/threats', { ...report, ...over }).expect(201)).body as Threat;
  const move = (id: string, status: string, more: object = {}) =>
    service.post(`/api/threats/${id}/status`, { status, ...more });
  const typesOf = async (id: string): Promise<string[]> =>
    (await service.events({ subject: id })).map(({ type }) => type);

  describe('events', () => {
    it('a new threat publishes threat.detected', async () => {
      const threat = await make({
        description: 'It asks for keys',
        metadata: { url: 'https://example.org' },
      });
      const [event, ...others] = await service.events({ subject: threat.id });
      expect(others).toEqual([]);
      expect(event).toMatchObject({
        type: 'threat.detected',
        source: 'threat_service',
        timestamp: expect.any(Number),
      });
      expect(event?.payload).toEqual({
        threat_id: threat.id,
        ...report,
        status: 'OPEN',
        description: 'It asks for keys',
        metadata: { url: 'https://example.org' },
        detected_at: threat.created_at,
      });
    });

    it('a change of the status publishes threat.status_changed', async () => {
      const { id } = await make();
      const changed = (await move(id, 'INVESTIGATING', { reason: 'seen' }).expect(200)).body as Threat;
      const [, event, ...others] = await service.events({ subject: id });
      expect(others).toEqual([]);
      expect(event?.type).toBe('threat.status_changed');
      expect(event?.payload).toEqual({
        threat_id: id,
        ...report,
        old_status: 'OPEN',
        new_status: 'INVESTIGATING',
        reason: 'seen',
        changed_at: changed.last_seen_at,
      });
    });

    it('an escalation, or a higher severity, publishes threat.escalated', async () => {
      const byStatus = await make();
      await move(byStatus.id, 'ESCALATED').expect(200);
      expect(await typesOf(byStatus.id)).toEqual([
        'threat.detected',
        'threat.status_changed',
        'threat.escalated',
      ]);
      const bySeverity = await make({ severity: 'LOW' });
      const raised = await service.post(`/api/threats/${bySeverity.id}/severity`, {
        severity: 'HIGH',
        reason: 'spreads',
      });
      expect(raised.body).toMatchObject({ status: 'ESCALATED', severity: 'HIGH', version: 2 });
      const events = await service.events({ subject: bySeverity.id });
      expect(events.map(({ type }) => type).slice(1)).toEqual([
        'threat.severity_changed',
        'threat.status_changed',
        'threat.escalated',
      ]);
      expect(events.at(-1)?.payload).toMatchObject({
        old_status: 'OPEN',
        old_severity: 'LOW',
        new_severity: 'HIGH',
        reason: 'spreads',
      });
    });

    it('a mitigation publishes threat.mitigated', async () => {
      const { id, created_at } = await make();
      const mitigated = (await move(id, 'MITIGATED', { resolution: 'blocked' }).expect(200)).body as Threat;
      expect(mitigated).toMatchObject({ resolution: 'blocked', mitigated_at: mitigated.last_seen_at });
      const event = (await service.events({ subject: id })).at(-1);
      expect(event?.type).toBe('threat.mitigated');
      expect(event?.payload).toMatchObject({ old_status: 'OPEN', resolution: 'blocked' });
      const { duration_seconds } = (event as { payload: unknown }).payload as { duration_seconds: number };
      expect(duration_seconds).toBeCloseTo(mitigated.last_seen_at - created_at, 3);
    });

    it('all events in the life of a threat are in the log in order', async () => {
      const { id } = await make();
      for (const status of ['INVESTIGATING', 'MITIGATED', 'INVESTIGATING', 'RESOLVED', 'OPEN', 'IGNORED']) {
        await move(id, status).expect(200);
      }
      expect(await typesOf(id)).toEqual([
        'threat.detected',
        'threat.status_changed',
        'threat.status_changed',
        'threat.mitigated',
        'threat.status_changed',
        'threat.status_changed',
        'threat.mitigated',
        'threat.status_changed',
        'threat.status_changed',
      ]);
      const threat = (await service.get(`/api/threats/${id}`).expect(200)).body as Threat;
      expect(threat).toMatchObject({ status: 'IGNORED', mitigated_at: null, version: 7 });
    });

    it('all events of an escalation are in the log in order', async () => {
      const { id } = await make({ severity: 'MEDIUM' });
      await service.post(`/api/threats/${id}/severity`, { severity: 'CRITICAL' }).expect(200);
      await service.post(`/api/threats/${id}/severity`, { severity: 'HIGH' }).expect(200);
      await move(id, 'INVESTIGATING').expect(200);
      await move(id, 'ESCALATED').expect(200);
      await move(id, 'RESOLVED').expect(200);
      expect(await typesOf(id)).toEqual([
        'threat.detected',
        'threat.severity_changed',
        'threat.status_changed',
        'threat.escalated',
        'threat.severity_changed',
        'threat.status_changed',
        'threat.status_changed',
        'threat.escalated',
        'threat.status_changed',
        'threat.mitigated',
      ]);
    });

    it('the life of a threat is the same with events off', async () => {
      await withService(startStore, { BRAIN_EVENTS: 'off' }, async (quiet) => {
        const made = (await quiet.post('/api/threats', report).expect(201)).body as Threat;
        await quiet.post(`/api/threats/${made.id}/severity`, { severity: 'CRITICAL' }).expect(200);
        await quiet.post(`/api/threats/${made.id}/status`, { status: 'MITIGATED' }).expect(200);
        const overview = await quiet.get('/api/threats/stats/overview').expect(200);
        expect(overview.body.stats).toMatchObject({ total: 1, by_status: { MITIGATED: 1 } });
        const events = await quiet.get('/api/events').expect(404);
        expect(events.body.code).toBe('events_off');
      });
    });

    it('all types of threat events have a valid envelope and match their schema', async () => {
      const correlation = 'envelope-check';
      await service
        .post('/api/threats', { ...report, metadata: { a: 1 } })
        .set('X-Correlation-ID', correlation);
      const mine = await service.events({ correlation_id: correlation });
      expect(mine).toHaveLength(1);
      expect(mine[0]?.meta.correlation_id).toBe(correlation);
      const all = await service.events();
      expect(all.length).toBeGreaterThan(10);
      for (const event of all) expectEnvelope(event);
      expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    });
  });

  describe('fingerprints', () => {
    it('count repeated reports and raise the severity, and both are published', async () => {
      const first = await make({ fingerprint: 'same', severity: 'MEDIUM' });
      const again = await service
        .post('/api/threats', { ...report, fingerprint: 'same', severity: 'LOW' })
        .expect(200);
      expect(again.body).toMatchObject({ id: first.id, occurrences: 2, severity: 'MEDIUM' });
      const worse = await service.post('/api/threats', {
        ...report,
        fingerprint: 'same',
        severity: 'CRITICAL',
      });
      expect(worse.body).toMatchObject({
        id: first.id,
        occurrences: 3,
        severity: 'CRITICAL',
        status: 'OPEN',
      });
      expect(await typesOf(first.id)).toEqual([
        'threat.detected',
        'threat.seen_again',
        'threat.seen_again',
        'threat.severity_changed',
        'threat.escalated',
      ]);
    });

    it('of a closed threat make a new threat, and keep the old one closed', async () => {
      const first = await make({ fingerprint: 'reused' });
      await move(first.id, 'RESOLVED').expect(200);
      const second = await make({ fingerprint: 'reused' });
      expect(second.id).not.toBe(first.id);
      const refused = await move(first.id, 'OPEN').expect(409);
      expect(refused.body).toMatchObject({
        code: 'fingerprint_open',
        detail: expect.stringContaining(second.id),
      });
      await move(second.id, 'IGNORED').expect(200);
      await move(first.id, 'OPEN').expect(200);
    });

    it('make 50 concurrent reports one threat with 50 occurrences', async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => service.post('/api/threats', { ...report, fingerprint: 'burst' })),
      );
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(49);
      const ids = new Set(answers.map(({ body }) => (body as Threat).id));
      expect(ids.size).toBe(1);
      const [id] = ids;
      expect((await service.get(`/api/threats/${id}`)).body).toMatchObject({ occurrences: 50, version: 50 });
      expect(await typesOf(id)).toHaveLength(50);
    });
  });

  describe('changes', () => {
    it('follow the table for every pair of statuses, and the same status is refused', async () => {
      const path: Record<ThreatStatus, ThreatStatus[]> = {
        OPEN: [],
        INVESTIGATING: ['INVESTIGATING'],
        ESCALATED: ['ESCALATED'],
        MITIGATED: ['MITIGATED'],
        IGNORED: ['IGNORED'],
        RESOLVED: ['RESOLVED'],
      };
      for (const from of STATUSES) {
        for (const to of STATUSES) {
          const { id } = await make();
          for (const step of path[from]) await move(id, step).expect(200);
          const answer = await move(id, to);
          expect([from, to, answer.status]).toEqual([from, to, MOVES[from].includes(to) ? 200 : 409]);
          if (answer.status === 409) expect(answer.body.code).toBe('illegal_status_change');
        }
      }
    }, 60_000);

    it('take the status from the query as well, and refuse two that differ', async () => {
      const { id } = await make();
      await service.post(`/api/threats/${id}/status?status=INVESTIGATING`).expect(200);
      await service.post(`/api/threats/${id}/status?status=ESCALATED`, { status: 'IGNORED' }).expect(422);
      const none = await service.post(`/api/threats/${id}/status`, {}).expect(422);
      expect(none.body.errors).toEqual([expect.objectContaining({ pointer: '/status', code: 'required' })]);
    });

    it('to a lower severity escalate nothing; the same severity and a closed threat are refused', async () => {
      const { id } = await make();
      const fall = await service.post(`/api/threats/${id}/severity`, { severity: 'LOW' }).expect(200);
      expect(fall.body).toMatchObject({ severity: 'LOW', status: 'OPEN' });
      expect(await typesOf(id)).toEqual(['threat.detected', 'threat.severity_changed']);
      expect(
        (await service.post(`/api/threats/${id}/severity`, { severity: 'LOW' }).expect(409)).body.code,
      ).toBe('severity_unchanged');
      await move(id, 'MITIGATED').expect(200);
      const closed = await service.post(`/api/threats/${id}/severity`, { severity: 'CRITICAL' }).expect(409);
      expect(closed.body.code).toBe('threat_closed');
    });

    it('respect If-Match', async () => {
      const { id } = await make();
      const read = await service.get(`/api/threats/${id}`).expect(200);
      expect(read.headers.etag).toBe('"1"');
      const changed = await move(id, 'INVESTIGATING').set('If-Match', '"1"').expect(200);
      expect(changed.headers.etag).toBe('"2"');
      const late = await move(id, 'ESCALATED').set('If-Match', '"1"').expect(412);
      expect(late.body.code).toBe('version_mismatch');
      await move(id, 'ESCALATED').set('If-Match', 'rubbish').expect(412);
      await move(id, 'ESCALATED').set('If-Match', 'W/"2"').expect(412);
      await move(id, 'INVESTIGATING').set('If-Match', '"1", "2"').expect(409);
      await move(id, 'ESCALATED').set('If-Match', '*').expect(200);
    });

    it('of an unknown threat get 404', async () => {
      await move(unknown, 'IGNORED').expect(404);
      await service.get(`/api/threats/${unknown}`).expect(404);
      await service.get('/api/threats/not-a-uuid').expect(404);
    });

    it('by 100 concurrent clients leave one legal history and correct statistics', async () => {
      const { id } = await make();
      const wishes = ['INVESTIGATING', 'ESCALATED', 'MITIGATED', 'RESOLVED', 'OPEN', 'IGNORED'];
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, i) => {
          const wish = move(id, wishes[i % wishes.length]);
          return i % 10 === 0 ? wish.set('If-Match', '"2"') : wish;
        }),
      );
      expect(answers.filter(({ status }) => ![200, 409, 412].includes(status))).toEqual([]);
      const moves = (await service.events({ subject: id, type: 'threat.status_changed' })).map(
        ({ payload }) => payload as { old_status: ThreatStatus; new_status: ThreatStatus },
      );
      expect(moves).toHaveLength(answers.filter(({ status }) => status === 200).length);
      let at: ThreatStatus = 'OPEN';
      for (const { old_status, new_status } of moves) {
        expect(old_status).toBe(at);
        expect(MOVES[at]).toContain(new_status);
        at = new_status;
      }
      expect((await service.get(`/api/threats/${id}`)).body).toMatchObject({
        status: at,
        version: moves.length + 1,
      });
      await expectTrueStats(service);
    });
  });

  describe('creates', () => {
    it('happen once for each Idempotency-Key', async () => {
      const once = () => service.post('/api/threats', report).set('Idempotency-Key', 'one-and-only');
      const first = await once().expect(201);
      const second = await once().expect(201);
      expect(second.body).toEqual(first.body);
      const both = await Promise.all(
        [1, 2, 3].map(() => service.post('/api/threats', report).set('Idempotency-Key', 'raced')),
      );
      expect(new Set(both.map(({ body }) => (body as Threat).id)).size).toBe(1);
      const other = await service
        .post('/api/threats', { ...report, severity: 'LOW' })
        .set('Idempotency-Key', 'one-and-only')
        .expect(422);
      expect(other.body.code).toBe('idempotency_key_reused');
    });

    it('are refused with every fault at once', async () => {
      const answer = await service
        .post('/api/threats', { type: '', severity: 'BAD', metadata: [], extra: 1, description: 5 })
        .expect(422);
      expect(answer.headers['content-type']).toContain('application/problem+json');
      const faults = (answer.body as { errors: { pointer: string; code: string }[] }).errors;
      expect(faults.map(({ pointer, code }) => [pointer, code]).sort()).toEqual([
        ['/description', 'text'],
        ['/extra', 'unknown_field'],
        ['/metadata', 'json_object'],
        ['/severity', 'one_of'],
        ['/source', 'required'],
        ['/type', 'text'],
      ]);
    });
  });

  describe('lists', () => {
    it('have filters, pages and a total', async () => {
      const source = 'list-test';
      const ids: string[] = [];
      for (let i = 0; i < 7; i += 1)
        ids.unshift((await make({ source, severity: i % 2 ? 'LOW' : 'HIGH' })).id);
      const first = await service.get(`/api/threats?source=${source}&limit=4`).expect(200);
      expect(first.body).toMatchObject({ total: 7, next_cursor: expect.any(String) });
      const second = await service.get(
        `/api/threats?source=${source}&limit=4&cursor=${first.body.next_cursor}`,
      );
      expect(second.body.next_cursor).toBeNull();
      const listed = [...first.body.threats, ...second.body.threats].map(({ id }: Threat) => id);
      expect(listed.sort()).toEqual(ids.sort());
      const low = await service.get(
        `/api/threats?source=${source}&severity=LOW&status=OPEN&type=prompt_injection`,
      );
      expect(low.body.total).toBe(3);
    });

    it('refuse unknown parameters and values', async () => {
      await service.get('/api/threats?limit=0').expect(422);
      await service.get('/api/threats?limit=501').expect(422);
      await service.get('/api/threats?limit=ten').expect(422);
      await service.get('/api/threats?status=open').expect(422);
      await service.get('/api/threats?colour=red').expect(422);
      await service.get('/api/threats?cursor=rubbish').expect(422);
      await service.get('/api/threats?status=OPEN&status=IGNORED').expect(422);
    });
  });

  it('have statistics that equal a recount', () => expectTrueStats(service));
});

/** Counts all threats again over HTTP and compares the result with the overview. */
async function expectTrueStats(service: Service): Promise<void> {
  const all: Threat[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const page = await service.get(`/api/threats?limit=500${cursor && `&cursor=${cursor}`}`).expect(200);
    all.push(...(page.body.threats as Threat[]));
    cursor = page.body.next_cursor as string | null;
  }
  const { stats } = (await service.get('/api/threats/stats/overview').expect(200)).body;
  expect(stats.total).toBe(all.length);
  for (const [status, count] of Object.entries(stats.by_status)) {
    expect([status, count]).toEqual([status, all.filter((threat) => threat.status === status).length]);
  }
  for (const [severity, count] of Object.entries(stats.by_severity)) {
    expect([severity, count]).toEqual([
      severity,
      all.filter((threat) => threat.severity === severity).length,
    ]);
  }
  const mitigated = all.filter((threat) => threat.mitigated_at !== null);
  expect(stats.mean_time_to_mitigate_seconds === null).toBe(mitigated.length === 0);
}
