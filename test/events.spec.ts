/** `GET /api/events`, on both stores. */
import type { Threat } from '../src/threats/threats.dto.js';
import { STORES, serviceOn } from './support/stores.js';

describe.each(STORES)('the event log on %s', (_name, startStore) => {
  const service = serviceOn(startStore);
  const threats: Threat[] = [];

  beforeAll(async () => {
    for (let i = 0; i < 6; i += 1) {
      const body = { type: 't', source: `s${i % 2}`, severity: i % 2 ? 'LOW' : 'HIGH' };
      const made = await service
        .post('/api/threats', body)
        .set('X-Correlation-ID', `cause-${i % 3}`)
        .expect(201);
      threats.push(made.body as Threat);
    }
    const [first] = threats;
    await service
      .post(`/api/threats/${first?.id}/status`, { status: 'ESCALATED' })
      .set('X-Correlation-ID', 'cause-0');
  });

  const list = async (
    query: string,
  ): Promise<{
    events: { type: string; position: string; payload: { threat_id: string } }[];
    next_cursor: string | null;
  }> => (await service.get(`/api/events?${query}`).expect(200)).body;

  /** A new installation begins with policies, and their events are in the log as well. */
  const ours = 'type=threat.*';

  it('is newest first by default, and oldest first on request', async () => {
    const down = await list(ours);
    const up = await list(`order=asc&${ours}`);
    expect(down.events).toHaveLength(8);
    expect(up.events.map(({ position }) => position)).toEqual(
      down.events.map(({ position }) => position).reverse(),
    );
    expect(down.events[0]?.type).toBe('threat.escalated');
  });

  it('filters events by type, pattern, priority and source', async () => {
    expect((await list('type=threat.detected')).events).toHaveLength(6);
    expect((await list('type=threat.escalated&type=threat.status_changed')).events).toHaveLength(2);
    expect((await list('type=*.detected')).events).toHaveLength(6);
    expect((await list('type=policy.created')).events).toHaveLength(2);
    expect((await list('type=immune.*')).events).toHaveLength(0);
    expect((await list('priority=CRITICAL')).events).toHaveLength(7);
    expect((await list('priority=HIGH&source=threat_service')).events).toHaveLength(1);
    expect((await list('source=immune_service')).events).toHaveLength(0);
  });

  it('finds events by subject, by correlation id, and by both', async () => {
    const [first, , third] = threats;
    expect((await list(`subject=${first?.id}`)).events).toHaveLength(3);
    expect((await list('correlation_id=cause-0')).events).toHaveLength(4);
    expect((await list(`subject=${third?.id}&correlation_id=cause-0`)).events).toHaveLength(0);
    expect((await list(`subject=${first?.id}&type=threat.escalated`)).events).toHaveLength(1);
    expect((await list('subject=nobody')).events).toHaveLength(0);
  });

  it('has pages in both directions without a missing or repeated event', async () => {
    for (const order of ['asc', 'desc']) {
      const seen: string[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const page: Awaited<ReturnType<typeof list>> = await list(
          `order=${order}&limit=3&${ours}${cursor && `&cursor=${cursor}`}`,
        );
        expect(page.events.length).toBeGreaterThan(0);
        seen.push(...page.events.map(({ position }) => position));
        cursor = page.next_cursor;
      }
      expect(seen).toHaveLength(8);
      expect(new Set(seen).size).toBe(8);
    }
  });

  it('is limited by two times', async () => {
    const { events } = await list(`order=asc&${ours}`);
    const ms = Number(events[3]?.position.split('-')[0]);
    const since = (await list(`order=asc&${ours}&since=${ms / 1000}`)).events;
    const until = (await list(`order=asc&${ours}&until=${ms / 1000}`)).events;
    expect(since.every(({ position }) => Number(position.split('-')[0]) >= ms)).toBe(true);
    expect(until.every(({ position }) => Number(position.split('-')[0]) <= ms)).toBe(true);
    expect(since.length + until.length).toBeGreaterThanOrEqual(9);
    expect((await list(`since=${ms / 1000 + 3600}`)).events).toHaveLength(0);
  });

  it('returns CloudEvents on request, page by page', async () => {
    const ask = (query: string, accept = '*/*') =>
      service.get(`/api/events?${ours}${query}`).set('Accept', accept);
    const batch = 'application/cloudevents-batch+json';
    for (const plain of [
      ask(''),
      ask('&format=envelope', batch),
      ask('', `application/json, ${batch};q=0.5`),
    ]) {
      const answer = await plain.expect(200).expect('Content-Type', 'application/json; charset=utf-8');
      expect(answer.body.events).toHaveLength(8);
      expect(answer.headers.link).toBeUndefined();
    }
    for (const asked of [ask('', batch), ask('&format=cloudevents')]) {
      const { body, headers } = await asked.expect(200).expect('Content-Type', `${batch}; charset=utf-8`);
      expect(body).toHaveLength(8);
      expect([headers.link, headers.vary]).toEqual([undefined, 'Accept']);
    }
    const { events } = await list(`order=asc&${ours}`);
    const positions: string[] = [];
    let next: string | undefined = '&format=cloudevents&order=asc&limit=3';
    while (next !== undefined) {
      const { body, headers }: { body: { position: string; data: object }[]; headers: { link?: string } } =
        await ask(next).expect(200);
      for (const { position, data } of body) {
        expect(data).toEqual(events[positions.length]?.payload);
        positions.push(position);
      }
      next = /^<\/api\/events\?[^>]*?(&format[^>]+)>; rel="next"$/.exec(headers.link ?? '')?.[1];
    }
    expect(positions).toEqual(events.map(({ position }) => position));
  });

  it('ends a page of large events at 1 MiB, and misses none', async () => {
    const metadata = { text: 'x'.repeat(30_000) };
    const report = { type: 'large', source: 'large', severity: 'LOW', metadata };
    const correlation = 'large-events';
    for (let n = 0; n < 50; n += 1)
      await service.post('/api/threats', report).set('X-Correlation-ID', correlation).expect(201);
    const sizes: number[] = [];
    const seen = new Set<string>();
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query = `correlation_id=${correlation}&limit=500${cursor && `&cursor=${cursor}`}`;
      const { text, body } = await service.get(`/api/events?${query}`).expect(200);
      sizes.push(text.length);
      for (const { position } of body.events as { position: string }[]) seen.add(position);
      cursor = body.next_cursor as string | null;
    }
    expect(seen.size).toBe(50);
    expect(sizes).toHaveLength(2);
    expect(sizes[0]).toBeGreaterThan(1_000_000);
    expect(Math.max(...sizes)).toBeLessThan(1_100_000);
  });

  it('refuses unknown parameters and values', async () => {
    for (const query of [
      'order=up',
      'limit=0',
      'priority=high',
      'cursor=x',
      'since=yesterday',
      'colour=red',
      'format=xml',
    ]) {
      const answer = await service.get(`/api/events?${query}`);
      expect([query, answer.status, answer.body.code]).toEqual([query, 422, 'invalid_request']);
    }
  });
});
