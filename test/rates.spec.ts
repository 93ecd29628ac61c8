/** The limits of requests per principal and class of route, and the refusal of heavy requests by an overloaded replica. */
import { type ClientRequest, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Response } from 'supertest';
import { EventLoopWatch } from '../src/shared/event-loop-watch.js';
import type { Service } from './support/service.js';
import { serviceOn, startEmbedded, withService } from './support/stores.js';
import { until } from './support/until.js';

const threat = { type: 't', source: 's', severity: 'LOW' };
const question = { agent_id: 'a', agent_role: 'admin', action: 'x' };
const POLICY = `"writes";q=10;w=5`;

/** The admin has limits, too. */
async function keyFor(service: Service, role: string, name = role): Promise<string> {
  let key: string | undefined;
  const made = async (): Promise<boolean> => {
    key = ((await service.post('/api/keys', { name, role })).body as { key?: string }).key;
    return key !== undefined;
  };
  await until(made, 10_000, 'a key');
  return key as unknown as string;
}

async function statuses(count: number, send: () => Promise<Response>): Promise<Record<number, number>> {
  const counts: Record<number, number> = {};
  for (let n = 0; n < count; n += 1) {
    const { status } = await send();
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
}

const codeOf = ({ status, body }: Response): [number, string] => [status, (body as { code: string }).code];

describe('a principal that sends too many requests', () => {
  const service = serviceOn(startEmbedded, {
    BRAIN_RATE_WRITES: '2',
    BRAIN_RATE_WRITES_AGENT: '1',
    BRAIN_RATE_DECISIONS: '2',
    BRAIN_RATE_HEAVY: '1',
  });
  const keys: Record<string, string> = {};
  beforeAll(async () => {
    for (const role of ['operator', 'gateway', 'agent', 'viewer']) keys[role] = await keyFor(service, role);
  });

  it('gets 429 with the headers of the limit, and may come back', async () => {
    const write = () => service.post('/api/threats', threat, keys.operator);
    const first = await write();
    expect(first.headers).toMatchObject({
      'ratelimit-policy': POLICY,
      ratelimit: expect.stringMatching(/^"writes";r=9;t=\d$/),
    });
    let refused = first;
    const isRefused = async (): Promise<boolean> => {
      refused = await write();
      return refused.status === 429;
    };
    await until(isRefused, 10_000, 'a refusal');
    expect(codeOf(refused)).toEqual([429, 'rate_limited']);
    expect(refused.headers).toMatchObject({
      'retry-after': '1',
      'ratelimit-policy': POLICY,
      ratelimit: expect.stringMatching(/^"writes";r=0;t=\d$/),
    });
    // Reads, heavy requests and the decisions have limits of their own, and so have others.
    const read = await service.get('/api/threats', keys.operator).expect(200);
    expect(read.headers).not.toHaveProperty('ratelimit');
    await service.post('/api/policy/evaluate', question, keys.operator).expect(200);
    await service.post('/api/policy/test-rule', question, keys.operator).expect(200);
    await until(async () => (await write()).status === 201, 10_000, 'an admission');
  });

  it('has a limit by its role: agents a lower one, gateways none', async () => {
    const write = (role: string) => () => service.post('/api/threats', threat, keys[role]);
    const agent = await statuses(20, write('agent'));
    expect(agent[201]).toBeGreaterThanOrEqual(5);
    expect(agent[429]).toBeGreaterThan(0);
    expect(await statuses(20, write('gateway'))).toEqual({ 201: 20 });
  });

  it('is counted also for a repetition and for a body with faults, but not for what it may not do', async () => {
    const key = await keyFor(service, 'agent', 'other');
    const repeat = () => service.post('/api/threats', threat, key).set('Idempotency-Key', 'same');
    expect((await statuses(20, repeat))[429]).toBeGreaterThan(0);
    const fresh = await keyFor(service, 'agent', 'third');
    expect((await statuses(20, () => service.post('/api/threats', {}, fresh)))[429]).toBeGreaterThan(0);
    const forbidden = () => service.post('/api/threats', threat, keys.viewer);
    expect(await statuses(20, forbidden)).toEqual({ 403: 20 });
  });

  it('is counted for each decision of a batch', async () => {
    const key = await keyFor(service, 'gateway', 'batches');
    const evaluations = Array.from({ length: 100 }, () => question);
    await service.post('/api/policy/evaluate/batch', { evaluations }, key).expect(200);
    const refused = await service.post('/api/policy/evaluate', question, key);
    expect(codeOf(refused)).toEqual([429, 'rate_limited']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(30);
    const subject = { type: 'agent', id: 'a', properties: { role: 'admin' } };
    const one = { subject, action: { name: 'x' }, resource: { type: 't', id: 'i' } };
    const other = await keyFor(service, 'gateway', 'evaluations');
    const authzen = { ...one, evaluations: Array.from({ length: 100 }, () => ({})) };
    await service.post('/access/v1/evaluations', authzen, other).expect(200);
    expect(codeOf(await service.post('/access/v1/evaluation', one, other))).toEqual([429, 'rate_limited']);
  });

  it.each([
    [
      'an explanation',
      'operator',
      (key: string) => service.post('/api/policy/evaluate?explain=true', question, key),
    ],
    [
      'a spelling of it',
      'operator',
      (key: string) => service.post('/api/policy/evaluate?%65xplain=true', question, key),
    ],
    ['test-rule', 'operator', (key: string) => service.post('/api/policy/test-rule', question, key)],
    ['an import', 'operator', (key: string) => service.post('/api/policy/import', { policies: [] }, key)],
    ['an export', 'viewer', (key: string) => service.get('/api/policy/export', key)],
    [
      'threats by two filters',
      'viewer',
      (key: string) => service.get('/api/threats?status=OPEN&type=t&limit=1', key),
    ],
    [
      'missions by two filters',
      'viewer',
      (key: string) => service.get('/api/missions?status=PENDING&agent_id=a', key),
    ],
    [
      'immune events by two filters',
      'viewer',
      (key: string) => service.get('/api/immune/events?type=ERROR_SPIKE&module=m', key),
    ],
    [
      'events by two filters',
      'viewer',
      (key: string) => service.get('/api/events?type=a.b&priority=HIGH', key),
    ],
  ])('is counted for %s as heavy', async (name, role, send) => {
    const key = await keyFor(service, role, name.replaceAll(' ', '-'));
    const first = await send(key);
    expect(first.headers['ratelimit-policy']).toBe('"heavy";q=5;w=5');
    expect((await statuses(20, () => send(key)))[429]).toBeGreaterThan(0);
  });

  it('is not counted for lists by one filter', async () => {
    const { headers } = await service.get('/api/threats?status=OPEN&limit=1&cursor=', keys.viewer);
    expect(headers).not.toHaveProperty('ratelimit');
  });
});

describe('heavy requests at one time', () => {
  it('are limited for each principal, and the end of one admits the next', async () => {
    await withService(startEmbedded, { BRAIN_RATE_HEAVY_AT_ONCE: '2' }, async (service) => {
      const [key, other] = [await keyFor(service, 'operator'), await keyFor(service, 'operator', 'other')];
      const test = async (as: string) => (await service.post('/api/policy/test-rule', question, as)).status;
      const { port } = service.server.address() as AddressInfo;
      /** A request whose body does not come. */
      const hold = (): ClientRequest => {
        const headers = {
          Authorization: `Bearer ${key}`,
          'Content-Type': 'application/json',
          'Content-Length': 100_000,
        };
        const held = httpRequest({
          port,
          host: '127.0.0.1',
          method: 'POST',
          path: '/api/policy/test-rule',
          headers,
        });
        held.on('error', () => undefined);
        held.write('{');
        return held;
      };
      const [first, second] = [hold(), hold()];
      await until(async () => (await test(key)) === 429, 5000, 'a refusal');
      expect(codeOf(await service.get('/api/policy/export', key))).toEqual([429, 'rate_limited']);
      expect(await test(other)).toBe(200);
      first.destroy();
      await until(async () => (await test(key)) === 200, 5000, 'an admission');
      second.destroy();
    });
  });
});

describe('an overloaded replica', () => {
  it('refuses heavy requests until it recovers, decides on, and reports the episode once', async () => {
    // Without a bound of its own the replica measures nothing, so only the test says how late it is.
    await withService(startEmbedded, { BRAIN_MAX_EVENT_LOOP_DELAY_MS: '0' }, async (service) => {
      const watch = service.app.get(EventLoopWatch);
      const look = (delayMs: number) => {
        for (let n = 0; n < 10; n += 1) watch.look(delayMs);
      };
      const heavy = () => service.post('/api/policy/test-rule', question);
      await heavy().expect(200);
      look(400);
      const refused = await heavy();
      expect(codeOf(refused)).toEqual([429, 'shedding_load']);
      expect(refused.headers['retry-after']).toBe('5');
      await service.post('/api/policy/evaluate', question).expect(200);
      await service.post('/api/threats', threat).expect(201);
      const reported = async () =>
        ((await service.get('/api/immune/events?view=full')).body as { events: object[] }).events;
      await until(async () => (await reported()).length > 0, 5000, 'the immune event');
      expect(await reported()).toEqual([
        expect.objectContaining({
          type: 'PERFORMANCE_DEGRADATION',
          severity: 'WARNING',
          meta: { event_loop_delay_ms: 400 },
        }),
      ]);
      expect(service.logs.filter(({ msg }) => /is overloaded/.test(String(msg)))).toHaveLength(1);
      look(0);
      await heavy().expect(200);
    });
  });

  it('notices by itself that it is late', async () => {
    await withService(startEmbedded, { BRAIN_MAX_EVENT_LOOP_DELAY_MS: '20' }, async (service) => {
      const block = setInterval(() => {
        const endMs = performance.now() + 60;
        while (performance.now() < endMs);
      }, 80);
      try {
        const heavy = async () => (await service.post('/api/policy/test-rule', question)).status;
        await until(async () => (await heavy()) === 429, 60_000, 'a refusal');
      } finally {
        clearInterval(block);
      }
    });
  }, 90_000);
});
