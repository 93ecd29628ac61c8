/** The limits of the steps of missions: the policies, and private targets. */
import type { Mission } from '../src/missions/missions.dto.js';
import { hasStatus, logOf, missionsOn, PRIVATE, SOON_MS, templateOf } from './support/missions.js';
import { STORES, withService } from './support/stores.js';
import { json } from './support/target.js';

const quick = { backoff_seconds: 0 };

describe.each(STORES)('missions on %s', (_name, startStore) => {
  const { service, target, run, eventsOf, http } = missionsOn(startStore);

  describe('policies', () => {
    const denied = { agent_id: 'guest-1', agent_role: 'guest' };

    it('are asked before each step, as the agent of the mission, and the decision is stored with the result', async () => {
      const mission = await run({
        steps: [http('/asked', { action: 'webhook.call', resource: templateOf('data.on') })],
        data: { on: 'page-1' },
      });
      const [, decided] = await service.events({
        type: 'policy.rule_evaluated',
        correlation_id: await correlationOf(mission.id),
      });
      expect(decided?.payload).toMatchObject({
        agent_id: mission.agent_id,
        agent_role: 'admin',
        action: 'webhook.call',
        resource: 'page-1',
      });
      const { call } = mission.result as { call: { decision_id: string } };
      expect(decided?.payload).toMatchObject({ decision_id: call.decision_id });
    });

    const correlationOf = async (id: string): Promise<string> =>
      (await eventsOf(id)).at(-1)?.meta.correlation_id as string;

    it('that deny a step fail the mission at once; the event log has the denial before the failure', async () => {
      const mission = await run(
        { ...denied, steps: [http('/denied', { continue_on_failure: true })] },
        'FAILED',
      );
      expect(mission.error).toMatchObject({
        code: 'denied_by_policy',
        step: 'call',
        decision_id: expect.any(String),
        message: expect.stringMatching(/^(Denied by|No matching)/),
      });
      expect(target.times('/denied')).toBe(0);
      const log = await logOf(service, mission.id);
      expect(log.find(({ message }) => message === 'Step failed')).toMatchObject({
        level: 'error',
        data: { code: 'denied_by_policy', decision_id: mission.error?.decision_id },
      });
      const caused = await service.events({ correlation_id: await correlationOf(mission.id) });
      const types = caused.map(({ type }) => type);
      const failure = caused.findIndex(
        ({ payload }) => (payload as { new_status?: string }).new_status === 'FAILED',
      );
      expect(types.indexOf('policy.action_denied')).toBeGreaterThan(-1);
      expect(types.indexOf('policy.action_denied')).toBeLessThan(failure);
      expect(caused[types.indexOf('policy.action_denied')]?.payload).toMatchObject({
        decision_id: mission.error?.decision_id,
      });
    });

    it('that warn or require an audit let the step run and add to the log', async () => {
      const rule = (effect: string, action: string): object => ({
        name: `A ${effect}`,
        description: `Mind the ${effect}`,
        effect,
        priority: 2000,
        conditions: [{ field: 'action', operator: '==', value: action }],
      });
      const rules = [rule('warn', 'risky.call'), rule('audit', 'audited.call')];
      await service
        .post('/api/policy/policies', { name: 'For missions', rules, default_effect: 'deny' })
        .expect(201);
      const steps = [
        http('/warned', { name: 'one', action: 'risky.call' }),
        http('/audited', { name: 'two', action: 'audited.call' }),
      ];
      const { id } = await run({ steps });
      const notes = (await logOf(service, id)).filter(({ level }) => level === 'warning');
      expect(notes).toMatchObject([
        { message: 'Mind the warn', data: { step: 'one', decision_id: expect.any(String) } },
        { message: 'The policies require an audit of this step', data: { step: 'two' } },
      ]);
    });

    it('deny nothing in the mode observe and log what they would deny; in the mode off they are not asked', async () => {
      for (const mode of ['observe', 'off']) {
        await withService(startStore, { ...PRIVATE, BRAIN_MISSIONS_POLICY: mode }, async (lax) => {
          const { id } = (
            await lax.post('/api/missions', { name: mode, ...denied, steps: [http(`/${mode}`)] })
          ).body as Mission;
          await lax.post(`/api/missions/${id}/execute`).expect(202);
          const mission = await hasStatus(lax, id, 'COMPLETED', SOON_MS);
          expect(target.times(`/${mode}`)).toBe(1);
          const { decision_id } = (mission.result as { call: { decision_id: string | null } }).call;
          const notes = (await logOf(lax, id)).filter(({ level }) => level === 'warning');
          const asked = await lax.events({ type: 'policy.action_denied' });
          if (mode === 'off') expect([decision_id, notes, asked]).toEqual([null, [], []]);
          else {
            expect(notes).toMatchObject([
              { message: 'The policies would have denied this step', data: { decision_id } },
            ]);
            expect(asked[0]?.payload).toMatchObject({ decision_id });
          }
        });
      }
    }, 60_000);
  });

  describe('the targets of a step', () => {
    it('do not include this machine, unless the setting allows it', async () => {
      await withService(startStore, {}, async (strict) => {
        for (const url of [
          target.url,
          target.url.replace('127.0.0.1', 'localhost'),
          'http://[::1]:1/',
          'http://0x7f.1:1/',
        ]) {
          const steps = [http('/', {}, { url })];
          const { id } = (await strict.post('/api/missions', { name: 'x', steps }).expect(201))
            .body as Mission;
          await strict.post(`/api/missions/${id}/execute`).expect(202);
          const { error } = await hasStatus(strict, id, 'FAILED', SOON_MS);
          expect([url, error?.code]).toEqual([url, 'private_target']);
          expect(error?.message).toContain('BRAIN_HTTP_ALLOW_PRIVATE');
        }
      });
    }, 60_000);

    it('get credentials that appear in no log and no event', async () => {
      target.on('/secret', (_asked, response) => json(response, {}, 500));
      const secret = 'a-very-secret-token';
      const step = http(
        '/secret',
        { retry: { ...quick, attempts: 2 } },
        { headers: { Authorization: `Bearer ${secret}` } },
      );
      const mission = await run({ steps: [step] }, 'FAILED');
      expect(target.asked.at(-1)?.headers.authorization).toBe(`Bearer ${secret}`);
      const written = JSON.stringify([
        await logOf(service, mission.id),
        await service.events(),
        service.logs,
        mission.error,
      ]);
      expect(written).not.toContain(secret);
    });
  });
});
