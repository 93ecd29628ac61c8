/** A store that an agent has filled: what operators need still works, for agents it is closed. */
import { serviceOn, startEmbedded } from './support/stores.js';

describe('a store that an agent has filled with threats', () => {
  const service = serviceOn(startEmbedded, {
    BRAIN_EMBEDDED_MAX_GIB: '0.05',
    BRAIN_THREATS_MAX_METADATA_KIB: '256',
  });

  it('takes changes of policies, keys, threats and missions, but none of an agent', async () => {
    const { body: made } = await service.post('/api/keys', { name: 'filler', role: 'agent' }).expect(201);
    const agent = (made as { key: string }).key;
    const mission = async (): Promise<string> =>
      ((await service.post('/api/missions', { name: 'm' }, agent).expect(201)).body as { id: string }).id;
    const [ours, theirs] = [await mission(), await mission()];
    const metadata = { filler: 'x'.repeat(250_000) };
    const report = { type: 't', source: 's', severity: 'LOW', metadata };
    const ids: string[] = [];
    let refused = 0;
    while (refused < 5) {
      const { status, body } = await service.post('/api/threats', report, agent);
      if (status === 201) ids.push((body as { id: string }).id);
      else refused += 1;
      expect([201, 503]).toContain(status);
      expect(ids.length).toBeLessThan(200);
    }
    const small = { type: 't', source: 's', severity: 'LOW' };
    const code = async (sent: PromiseLike<{ body: unknown }>): Promise<string> =>
      ((await sent).body as { code: string }).code;
    expect(await code(service.post('/api/threats', small, agent).expect(503))).toBe('storage_full');

    const policies = '/api/policy/policies';
    await service.delete(`${policies}/guest_read_only`).expect(204);
    await service.post(policies, { policy_id: 'p', name: 'P', rules: [] }).expect(201);
    await service.put(`${policies}/p`, { description: 'changed' }).expect(200);
    const { body: key } = await service.post('/api/keys', { name: 'k', role: 'operator' }).expect(201);
    await service
      .post(`/api/threats/${ids[0]}/severity`, { severity: 'HIGH' }, (key as { key: string }).key)
      .expect(200);
    await service.post(`/api/threats/${ids[0]}/status`, { status: 'RESOLVED' }).expect(200);
    await service.post(`/api/missions/${ours}/status`, { status: 'CANCELLED' }).expect(200);
    expect(
      await code(service.post(`/api/missions/${theirs}/status`, { status: 'CANCELLED' }, agent).expect(503)),
    ).toBe('storage_full');
    await service.delete(`/api/keys/${(made as { id: string }).id}`).expect(204);
    await service.get('/api/threats', agent).expect(401);
    await service
      .post('/api/policy/evaluate', { agent_id: 'a', agent_role: 'admin', action: 'x' })
      .expect(200);
    expect(await code(service.post('/api/threats', small).expect(503))).toBe('storage_full');
  }, 60_000);
});
