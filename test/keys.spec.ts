/** The life of a key over HTTP, on both stores: rotation, last use, and its end. And on two replicas. */
import { KeyUses } from '../src/security/key-uses.js';
import { sleep } from '../src/shared/clock.js';
import type { Retention } from '../src/storage/retention.js';
import { expectEnvelope } from './support/envelope.js';
import { expectProblem } from './support/problem.js';
import { ADMIN, type Service } from './support/service.js';
import { STORES, serviceOn, startEmbedded, twoReplicas } from './support/stores.js';

interface Key {
  id: string;
  key: string;
  name: string;
  agents: string[];
  expires_at: number | null;
  rotated_from: string | null;
  replaced_by: string | null;
  overlap_until: number;
  last_used_at: number | null;
}

const make = async (service: Service, body: object): Promise<Key> =>
  (await service.post('/api/keys', { name: 'n', role: 'viewer', ...body }).expect(201)).body as Key;
const rotate = async (service: Service, id: string, body?: object): Promise<Key> =>
  (await service.post(`/api/keys/${id}/rotate`, body).expect(201)).body as Key;
const listed = async (service: Service, id: string): Promise<Key | undefined> =>
  ((await service.get('/api/keys?limit=500').expect(200)).body as { keys: Key[] }).keys.find(
    (key) => key.id === id,
  );
const reportEnds = (service: Service): Promise<number> =>
  service.app.get<Retention<unknown>>('key-expiry').sweep();

describe.each(STORES)('keys on %s', (_name, startStore) => {
  const service = serviceOn(startStore);

  it('are rotated: the new one has the same rights, and both are valid until the overlap ends', async () => {
    const body = { name: 'r-7', role: 'agent', agents: ['r-*'], agent_roles: ['researcher'], owner: 'p' };
    const old = await make(service, body);
    const before = Date.now() / 1000;
    const made = await rotate(service, old.id);
    expect(made).toMatchObject({ ...body, rotated_from: old.id, replaced_by: null, expires_at: null });
    expect(made.key).toMatch(/^brn_/);
    expect(made.overlap_until).toBeGreaterThanOrEqual(before + 86_400);
    expect(made.overlap_until).toBeLessThan(before + 86_460);
    expect(await listed(service, old.id)).toMatchObject({
      replaced_by: made.id,
      expires_at: made.overlap_until,
      rotated_from: null,
    });
    for (const { key } of [old, made]) {
      const { body: self } = await service.get('/api/keys/self', key).expect(200);
      expect(self).toMatchObject({ agents: ['r-*'], agent_roles: ['researcher'], owner: 'p' });
    }
    const events = await service.events({ subject: made.id });
    for (const event of events) expectEnvelope(event);
    expect(events.map(({ type }) => type)).toEqual(['access.key_created', 'access.key_rotated']);
    expect(events[1]?.payload).toEqual({
      key_id: old.id,
      name: 'r-7',
      role: 'agent',
      new_key_id: made.id,
      valid_until: made.overlap_until,
      rotated_by: 'bootstrap',
      rotated_at: expect.any(Number),
    });
    expect((await service.events({ subject: old.id })).map(({ type }) => type)).toEqual([
      'access.key_created',
      'access.key_rotated',
    ]);
  });

  it('end with the overlap, without one at once, and never later than before', async () => {
    const old = await make(service, {});
    const { key } = await rotate(service, old.id, { overlap_minutes: 0 });
    await service.get('/api/threats', key).expect(200);
    await service.get('/api/threats', old.key).expect(401);
    const expires_at = Date.now() / 1000 + 600;
    const short = await make(service, { expires_at });
    const made = await rotate(service, short.id, { overlap_minutes: 10_080 });
    expect(made.overlap_until).toBe(expires_at);
    // The new one lives as long as the old one was meant to.
    expect(made.expires_at).toBeGreaterThan(expires_at);
    expect(made.expires_at).toBeLessThan(expires_at + 60);
  });

  it('are rotated once for an Idempotency-Key, and the replay omits the key', async () => {
    const { id } = await make(service, {});
    const ask = (overlap_minutes: number) =>
      service.post(`/api/keys/${id}/rotate`, { overlap_minutes }).set('Idempotency-Key', 'turn');
    const { key, ...first } = (await ask(5).expect(201)).body as Key;
    expect(key).toMatch(/^brn_/);
    expect((await ask(5).expect(201)).body).toEqual(first);
    expectProblem(await ask(6), 422, 'idempotency_key_reused');
    const other = await make(service, {});
    expect((await rotate(service, other.id)).rotated_from).toBe(other.id);
  });

  it('are not rotated when they have ended, are gone or were rotated before', async () => {
    const old = await make(service, {});
    const made = await rotate(service, old.id);
    expectProblem(await service.post(`/api/keys/${old.id}/rotate`), 409, 'already_rotated');
    const next = await rotate(service, made.id);
    expect(next.rotated_from).toBe(made.id);
    // Nobody has the key that replaced it: then it is revoked, and the old one is rotated again.
    const lost = await make(service, {});
    await service.delete(`/api/keys/${(await rotate(service, lost.id)).id}`).expect(204);
    const again = await rotate(service, lost.id, { overlap_minutes: 10_080 });
    expect(again.overlap_until).toBeLessThan(Date.now() / 1000 + 86_400);
    const ended = await make(service, { expires_at: Date.now() / 1000 + 0.3 });
    await sleep(350);
    expectProblem(await service.post(`/api/keys/${ended.id}/rotate`), 409, 'key_expired');
    for (const gone of ['bootstrap', 'key_000000000000', 'x'.repeat(200)])
      expectProblem(await service.post(`/api/keys/${gone}/rotate`), 404, 'key_not_found');
    for (const overlap_minutes of [-1, 10_081, 1.5, '5', null])
      expectProblem(
        await service.post(`/api/keys/${old.id}/rotate`, { overlap_minutes }),
        422,
        'invalid_request',
      );
  });

  it('are rotated only by a key that manages keys', async () => {
    const { id, key } = await make(service, { role: 'operator' });
    expectProblem(await service.post(`/api/keys/${id}/rotate`, {}, key), 403, 'forbidden');
  });

  it('of an agent keep its name to themselves while they are rotated', async () => {
    const named = { name: 'solo', role: 'agent' };
    const old = await make(service, named);
    expect((await rotate(service, old.id, { overlap_minutes: 0 })).agents).toEqual(['solo']);
    expectProblem(await service.post('/api/keys', named), 422, 'invalid_request');
    for (let round = 0; round < 5; round += 1) {
      const name = `race-${round}`;
      const { id } = await make(service, { ...named, name });
      const [turned, made] = await Promise.all([
        service.post(`/api/keys/${id}/rotate`, { overlap_minutes: 0 }),
        service.post('/api/keys', { ...named, name }),
      ]);
      expect([turned.status, made.status]).toEqual([201, 422]);
    }
  });

  it('say when they were last used, also for a request that is refused', async () => {
    const { id, key } = await make(service, {});
    expect((await listed(service, id))?.last_used_at).toBeNull();
    await service.get('/api/keys', key).expect(403);
    const used = (await listed(service, id))?.last_used_at ?? 0;
    expect(Math.abs(used - Date.now() / 1000)).toBeLessThan(5);
    const { body } = await service.get('/api/keys/self', key).expect(200);
    expect(body.last_used_at).toBeGreaterThanOrEqual(used);
    await service.app.get(KeyUses).write();
    expect((await listed(service, id))?.last_used_at).toBeCloseTo(body.last_used_at as number, 0);
  });

  it('report their end once, and a key that was revoked before has none', async () => {
    const expires_at = Date.now() / 1000 + 0.3;
    const key = await make(service, { name: 'brief', owner: 'p', expires_at });
    const revoked = await make(service, { expires_at });
    await service.delete(`/api/keys/${revoked.id}`).expect(204);
    const old = await make(service, {});
    const made = await rotate(service, old.id, { overlap_minutes: 0 });
    await sleep(400);
    expect(await reportEnds(service)).toBeGreaterThan(0);
    expect(await reportEnds(service)).toBe(0);
    const events = await service.events({ type: 'access.key_expired' });
    for (const event of events) expectEnvelope(event);
    const of = (id: string) => events.filter(({ payload }) => (payload as { key_id: string }).key_id === id);
    expect(of(key.id).map(({ payload, meta }) => [payload, meta.actor?.id])).toEqual([
      [
        {
          key_id: key.id,
          name: 'brief',
          role: 'viewer',
          owner: 'p',
          replaced_by: null,
          expired_at: expires_at,
        },
        'brain:access',
      ],
    ]);
    expect(of(old.id)[0]?.payload).toMatchObject({ replaced_by: made.id, expired_at: made.overlap_until });
    expect(of(revoked.id)).toEqual([]);
    expect(await listed(service, key.id)).toMatchObject({ expires_at });
  });
});

describe('keys without events', () => {
  const service = serviceOn(startEmbedded, { BRAIN_EVENTS: 'off' });

  it('are rotated and end as with events', async () => {
    const { id, key } = await make(service, {});
    const made = await rotate(service, id, { overlap_minutes: 0 });
    await service.get('/api/threats', key).expect(401);
    await service.get('/api/threats', made.key).expect(200);
    expect(await reportEnds(service)).toBe(1);
    expect(await reportEnds(service)).toBe(0);
  });
});

describe('keys on two replicas', () => {
  const { one, other } = twoReplicas();

  it('are rotated by one of two requests at the same time', async () => {
    const { id } = await make(one, {});
    const answers = await Promise.all([one, other].map((service) => service.post(`/api/keys/${id}/rotate`)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    const made = answers.find(({ status }) => status === 201)?.body as Key | undefined;
    await other.get('/api/threats', made?.key).expect(200);
  });

  it('report their end once', async () => {
    const expires_at = Date.now() / 1000 + 0.3;
    for (let i = 0; i < 20; i += 1) await make(one, { expires_at });
    await sleep(400);
    const reported = await Promise.all([one, other, one, other].map(reportEnds));
    const rest = await reportEnds(other);
    expect(reported.reduce((sum, count) => sum + count, rest)).toBe(20);
    expect(await one.events({ type: 'access.key_expired' })).toHaveLength(20);
  });

  it('show the last use at the other replica once it is written', async () => {
    const { id, key } = await make(one, {});
    await one.get('/api/threats', key).expect(200);
    expect((await listed(one, id))?.last_used_at).toEqual(expect.any(Number));
    await one.app.get(KeyUses).write();
    expect((await listed(other, id))?.last_used_at).toEqual(expect.any(Number));
    expect((await other.get('/api/keys/self', ADMIN).expect(200)).body.last_used_at).toEqual(
      expect.any(Number),
    );
  });
});
