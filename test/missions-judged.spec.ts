/** The policies judge what a step does: its kind, the URL that is requested, and each redirect. */
import { hasStatus, logOf, missionsOn, SOON_MS, templateOf } from './support/missions.js';
import { startEmbedded, withService } from './support/stores.js';
import { json } from './support/target.js';

/** A rule that comes before those of a new installation. */
const rule = (effect: string, conditions: object[], name = 'A rule'): object => ({
  name,
  effect,
  priority: 2000,
  conditions,
});
const is = (field: string, value: unknown, operator = '=='): object => ({ field, operator, value });

describe('a step', () => {
  const { service, target, make, run, execute, keyOf, messagesOf, http } = missionsOn(startEmbedded);
  let policies = 0;
  const addPolicy = async (...rules: object[]): Promise<void> => {
    policies += 1;
    const body = { policy_id: `rules-${policies}`, name: 'Rules', rules };
    await service.post('/api/policy/policies', body).expect(201);
  };
  const denied = async (steps: object[], data = {}): Promise<void> => {
    const { error } = await run({ steps, data }, 'FAILED');
    expect(error).toMatchObject({ code: 'denied_by_policy', decision_id: expect.any(String) });
  };
  const asked = async (id: string): Promise<Record<string, unknown>[]> => {
    const [event] = await service.events({ subject: id, type: 'mission.status_changed' });
    const correlation_id = event?.meta.correlation_id as string;
    const decisions = await service.events({ type: 'policy.rule_evaluated', correlation_id });
    return decisions.map(({ payload }) => payload as Record<string, unknown>);
  };

  describe('that names an action of its own', () => {
    let agent: { id: string; key: string };
    beforeAll(async () => {
      agent = await keyOf('agent');
      await addPolicy(
        rule('deny', [is('agent_role', 'agent'), is('action', 'mission.step.http')], 'No http'),
        {
          ...rule('allow', [is('agent_role', 'agent'), is('action', 'doc.read')], 'Read docs'),
          priority: 10,
        },
      );
    });
    const fails = async (step: object): Promise<{ code?: string; message?: string }> => {
      const { id } = await make({ steps: [step] }, agent.key);
      await execute(id, agent.key).expect(202);
      return (await hasStatus(service, id, 'FAILED', SOON_MS)).error ?? {};
    };

    it('is judged by its kind as well: a harmless action does not hide an http request', async () => {
      expect(await fails(http('/docs', { action: 'doc.read' }))).toMatchObject({
        code: 'denied_by_policy',
        message: "Denied by rule 'No http'",
      });
      expect(target.times('/docs')).toBe(0);
    });

    it('forges no immune event under the name of a harmless action', async () => {
      const params = { severity: 'CRITICAL', type: 'AGENT_FAILURE', message: 'forged' };
      const step = { name: 'report', kind: 'immune_event', action: 'doc.read', params };
      expect(await fails(step)).toMatchObject({ code: 'denied_by_policy' });
      const { body } = await service.get('/api/immune/events').expect(200);
      expect(JSON.stringify(body)).not.toContain('forged');
    });

    it('is asked as both, each is a decision, and the log names both', async () => {
      const { id, result } = await run({ steps: [http('/both', { action: 'doc.read', resource: 'r' })] });
      const [kind, own, ...more] = await asked(id);
      expect([kind, own, more]).toMatchObject([
        { action: 'mission.step.http', resource: 'r' },
        { action: 'doc.read', resource: 'r' },
        [],
      ]);
      expect(result).toMatchObject({ call: { decision_id: own?.decision_id } });
      const started = (await logOf(service, id)).find(({ message }) => message === 'Step started');
      expect(started?.data).toMatchObject({
        decision_id: own?.decision_id,
        kind_decision_id: kind?.decision_id,
      });
    });

    it('is denied if only its own action is denied', async () => {
      await addPolicy(rule('deny', [is('action', 'never.do')]));
      await denied([http('/never', { action: 'never.do' })]);
      expect(target.times('/never')).toBe(0);
    });

    it('is asked once if it names the action of its kind', async () => {
      const { id } = await run({ steps: [http('/once', { action: 'mission.step.http' })] });
      expect(await asked(id)).toMatchObject([{ action: 'mission.step.http' }]);
    });

    it('cannot take the place of its kind in a rule about the kind', async () => {
      await addPolicy(rule('deny', [is('environment.step_kind', 'wait'), is('environment.step', 'nap')]));
      await denied([{ name: 'nap', kind: 'wait', action: 'mission.step.http', params: { seconds: 0 } }]);
    });
  });

  describe('that names its URL in another spelling', () => {
    const spelled = (spelling: string): string => spelling.replace('PORT', new URL(target.url).port);
    const SPELLINGS = [
      'HTTP://127.0.0.1:PORT/admin',
      ' http://127.0.0.1:PORT/admin',
      'http:127.0.0.1:PORT/admin',
      'http:\\\\127.0.0.1:PORT/admin',
      'http://127.0.0.1:PORT/x/../admin',
      'http://127.1:PORT/admin',
      'ht\ttp://127.0.0.1:PORT/admin',
      'http://127.0.0.1:0PORT/admin',
    ];
    beforeAll(async () => {
      await addPolicy(
        rule('deny', [is('params.url', `${target.url}/admin`, 'starts_with')]),
        rule('deny', [is('environment.url.host', 'localhost')]),
      );
    });

    it.each(SPELLINGS)('is stored, shown and judged in the usual one: %j', async (spelling) => {
      const url = spelled(spelling);
      const { steps } = await make({ steps: [http('', {}, { url })] });
      expect(steps[0]?.params).toMatchObject({ url: `${target.url}/admin` });
      await denied([http('', {}, { url })]);
      await denied([http('', {}, { url: templateOf('data.url') })], { url });
      expect(target.times('/admin')).toBe(0);
    });

    it('is judged by its parts: another name of the host is another host', async () => {
      await denied([http('', {}, { url: spelled('http://localhost:PORT/admin') })]);
      expect(target.times('/admin')).toBe(0);
    });

    it('is judged by its method and its headers, however they are written', async () => {
      await addPolicy(
        rule('deny', [is('params.method', 'POST'), is('environment.url.path', '/posted')]),
        rule('deny', [is('params.headers.x-mode', 'write')]),
      );
      await denied([http('/posted', {}, { body: {} })]);
      await denied([http('/headed', {}, { headers: { 'X-Mode': 'write' } })]);
      expect([target.times('/posted'), target.times('/headed')]).toEqual([0, 0]);
    });

    it('is judged by scheme, host, port and path', async () => {
      const { port } = new URL(target.url);
      const parts = [
        is('environment.url.scheme', 'http'),
        is('environment.url.host', '127.0.0.1'),
        is('environment.url.port', Number(port)),
        is('environment.url.path', '/part'),
      ];
      await addPolicy(rule('deny', parts));
      await denied([http('/%70art?q=1')]);
      await run({ steps: [http('/parts')] });
    });
  });

  describe('whose target redirects it', () => {
    const redirect = (from: string, to: string, status = 302): void =>
      target.on(from, (_asked, response) => response.writeHead(status, { Location: to }).end());

    it('goes only where the policies allow it, and a denial ends the mission', async () => {
      await addPolicy(rule('deny', [is('environment.url.path', '/inner')]));
      redirect('/go', '/inner');
      await denied([http('/go', { continue_on_failure: true })]);
      expect([target.times('/go'), target.times('/inner')]).toEqual([1, 0]);
    });

    it('is judged again as it is then: with the new URL, and without what is not sent', async () => {
      const { id } = await (async () => {
        redirect('/see', '/seen', 303);
        return run({ steps: [http('/see', {}, { body: { a: 1 }, method: 'PUT' })] });
      })();
      expect(await asked(id)).toHaveLength(2);
      await addPolicy(rule('deny', [is('params.method', 'GET'), is('params.url', `${target.url}/seen`)]));
      await denied([http('/see', {}, { body: { a: 1 }, method: 'PUT' })]);
      expect(target.times('/seen')).toBe(1);
    });

    it('is reported in the log of the mission if a rule warns about the redirect', async () => {
      const warn = { ...rule('warn', [is('environment.url.path', '/warned')]), description: 'Mind it' };
      await addPolicy(warn);
      redirect('/to-warned', '/warned');
      const { id } = await run({ steps: [http('/to-warned')] });
      expect(await messagesOf(id)).toContain('Mind it');
    });

    it('is followed in the mode observe, and the log says what would be denied', async () => {
      const env = { BRAIN_HTTP_ALLOW_PRIVATE: 'true', BRAIN_MISSIONS_POLICY: 'observe' };
      redirect('/lax', '/lax-end');
      await withService(startEmbedded, env, async (lax) => {
        const rules = [rule('deny', [is('environment.url.path', '/lax-end')])];
        await lax.post('/api/policy/policies', { name: 'R', rules }).expect(201);
        const { body } = await lax.post('/api/missions', { name: 'm', steps: [http('/lax')] }).expect(201);
        await lax.post(`/api/missions/${body.id}/execute`).expect(202);
        await hasStatus(lax, body.id as string, 'COMPLETED', SOON_MS);
        const messages = (await logOf(lax, body.id as string)).map(({ message }) => message);
        expect(messages).toContain('The policies would have denied this step');
        expect(target.times('/lax-end')).toBe(1);
      });
    });
  });

  describe('on a service with a list of hosts', () => {
    const env = { BRAIN_HTTP_ALLOW_PRIVATE: 'true', BRAIN_HTTP_ALLOW_HOSTS: '127.0.0.1,*.example.com' };

    it('is refused when it is written, when its template is filled, and when it is redirected elsewhere', async () => {
      await withService(startEmbedded, env, async (strict) => {
        const other = target.url.replace('127.0.0.1', 'localhost');
        const write = (url: string, data = {}) =>
          strict.post('/api/missions', { name: 'm', data, steps: [http('', {}, { url })] });
        for (const url of [`${other}/x`, `${other}/${templateOf('data.p')}`, 'https://example.com/']) {
          const { body } = await write(url).expect(422);
          expect(body.errors).toMatchObject([{ pointer: '/steps/0/params/url', code: 'host_not_allowed' }]);
          expect(body.errors[0].detail).toContain('BRAIN_HTTP_ALLOW_HOSTS');
        }
        await write('https://api.example.com/').expect(201);
        await write(`https://${templateOf('data.host')}/`).expect(201);
        target.on('/elsewhere', (_asked, response) =>
          response.writeHead(302, { Location: `${other}/listed-not` }).end(),
        );
        const before = target.asked.length;
        for (const [url, requests] of [
          [templateOf('data.url'), 0],
          [`${target.url}/elsewhere`, 1],
        ] as const) {
          const { body } = await write(url, { url: `${other}/listed-not` }).expect(201);
          await strict.post(`/api/missions/${body.id}/execute`).expect(202);
          const { error } = await hasStatus(strict, body.id as string, 'FAILED', SOON_MS);
          expect([url, error?.code]).toEqual([url, 'host_not_allowed']);
          expect(target.asked.length - before).toBe(requests);
        }
      });
    });

    it('reaches a listed host', async () => {
      target.on('/listed', (_asked, response) => json(response, {}));
      await withService(startEmbedded, env, async (strict) => {
        const { body } = await strict
          .post('/api/missions', { name: 'm', steps: [http('/listed')] })
          .expect(201);
        await strict.post(`/api/missions/${body.id}/execute`).expect(202);
        await hasStatus(strict, body.id as string, 'COMPLETED', SOON_MS);
      });
    });
  });
});
