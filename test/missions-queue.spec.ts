/** The order in which missions run, and the limits of their logs. */
import { MissionWriter } from '../src/missions/mission-writer.js';
import { MISSIONS, type StoredMission } from '../src/missions/missions.collection.js';
import type { Mission } from '../src/missions/missions.dto.js';
import { PRIORITIES } from '../src/missions/missions.lifecycle.js';
import { Store } from '../src/storage/store.js';
import { expectTrueStats, hasStatus, logOf, missionsOn, readMission, SOON_MS } from './support/missions.js';
import { startEmbedded } from './support/stores.js';
import { json } from './support/target.js';
import { until } from './support/until.js';

describe('the queue', () => {
  const { service, target, make, execute } = missionsOn(startEmbedded, {
    BRAIN_MISSIONS_CONCURRENCY: '1',
    BRAIN_LOG_REQUESTS: 'off',
  });

  const queue = async (over: object): Promise<string> => {
    const { id } = await make(over);
    await execute(id).expect(202);
    return id;
  };
  const step = (path: string, name = 'a'): object => ({
    name,
    kind: 'http',
    params: { url: target.url + path },
  });

  it('runs missions by priority, and within a priority in the order of execute', async () => {
    let release = (): void => undefined;
    target.on('/gate', (_asked, response) => {
      release = () => json(response, {});
    });
    let now = 0;
    let most = 0;
    target.on('/queued', (_asked, response) => {
      now += 1;
      most = Math.max(most, now);
      setTimeout(() => {
        now -= 1;
        json(response, {});
      }, 5);
    });
    await queue({ steps: [step('/gate')] });
    await until(() => target.times('/gate') === 1, SOON_MS, 'the first mission');
    const wanted: string[] = [];
    for (const priority of [...PRIORITIES].reverse()) {
      const ids: string[] = [];
      // More than one search lists.
      for (let n = 0; n < 25; n += 1) {
        const id = `${priority}-${n}`;
        ids.push(await queue({ id, priority, steps: [step(`/queued?id=${id}`)] }));
      }
      wanted.unshift(...ids);
    }
    const { body } = await service.get('/api/missions?status=PENDING&limit=1').expect(200);
    expect(body.total).toBe(100);
    release();
    const last = wanted.at(-1) as string;
    await hasStatus(service, last, 'COMPLETED', 60_000);
    const order = target.asked
      .filter(({ path }) => path.startsWith('/queued'))
      .map(({ path }) => path.split('=')[1]);
    expect(order).toEqual(wanted);
    expect(most).toBe(1);
    await expectTrueStats(service);
  }, 90_000);

  it('runs other missions between the slow steps of a long one', async () => {
    target.on('/slow', (_asked, response) => {
      setTimeout(() => json(response, {}), 300);
    });
    const slow = await queue({ steps: Array.from({ length: 10 }, (_, i) => step('/slow', `s${i}`)) });
    await until(() => target.times('/slow') === 1, SOON_MS, 'the slow mission');
    const quick = await queue({ steps: [step('/quick')] });
    await hasStatus(service, quick, 'COMPLETED', SOON_MS);
    expect((await readMission(service, slow)).status).toBe('RUNNING');
    const ended = await hasStatus(service, slow, 'COMPLETED', SOON_MS);
    expect(ended).toMatchObject({ attempts: 1, progress: { done: 10, total: 10 } });
    expect(target.times('/slow')).toBe(10);
  }, 60_000);

  it('continues from the stored state after the store has lost writes of a run', async () => {
    const waiting: (() => void)[] = [];
    target.on('/last', (_asked, response) => void waiting.push(() => json(response, {})));
    const steps = ['/first', '/last'].map((path, i) => ({
      name: `step-${i}`,
      kind: 'http',
      params: { url: target.url + path },
    }));
    const { id } = (await service.post('/api/missions', { name: 'm', steps }).expect(201)).body as Mission;
    const store = service.app.get(Store);
    let early: StoredMission | undefined;
    const keep = async (): Promise<void> => {
      early ??= await store.get(MISSIONS, id);
    };
    target.on('/first', (_asked, response) => void keep().then(() => json(response, {})));
    await service.post(`/api/missions/${id}/execute`).expect(202);
    await until(() => waiting.length === 1, SOON_MS, 'the second step');
    await store.transaction(async (tx) => {
      await tx.get(MISSIONS, id);
      tx.put(MISSIONS, early as StoredMission);
    });
    for (const times of [1, 2]) {
      await until(() => waiting.length === times, SOON_MS, 'the second step');
      waiting[times - 1]();
    }
    const { result } = await hasStatus(service, id, 'COMPLETED', SOON_MS);
    expect(Object.keys(result as object)).toEqual(['step-0', 'step-1']);
    expect([target.times('/first'), target.times('/last')]).toEqual([2, 2]);
  });

  it('limits the log of a mission by its size too', async () => {
    const { id } = (await service.post('/api/missions', { name: 'Says much' }).expect(201)).body as Mission;
    const line = { message: 'much', data: { text: 'x'.repeat(200_000) } };
    for (let i = 0; i < 43; i += 1) await service.post(`/api/missions/${id}/log`, line).expect(202);
    const log = await logOf(service, id);
    expect(log.map(({ message }) => message)).toEqual([
      'Mission created',
      ...Array.from({ length: 42 }, () => 'much'),
      expect.stringContaining('8 MiB'),
      '1 more entries were dropped',
    ]);
  });

  it('runs a mission whose log is full; the log says how many entries were dropped', async () => {
    const { id } = (await service.post('/api/missions', { name: 'Talks a lot' }).expect(201)).body as Mission;
    const store = service.app.get(Store);
    for (let written = 1; written < 9_999; written += 1111) {
      await store.transaction(async (tx) => {
        const mission = await tx.get(MISSIONS, id);
        if (!mission) throw new Error('the mission is missing');
        const writer = new MissionWriter(tx, mission, undefined);
        for (let i = 0; i < Math.min(1111, 9_999 - written); i += 1) writer.log('info', `${written + i}`);
        writer.save();
      });
    }
    expect(await logOf(service, id)).toHaveLength(9_999);
    for (const message of ['the last', 'too much', 'far too much']) {
      await service.post(`/api/missions/${id}/log`, { message }).expect(202);
    }
    const log = await logOf(service, id);
    expect(log.slice(-3)).toMatchObject([
      { message: 'the last' },
      { message: expect.stringContaining('The log is full'), level: 'warning' },
      { message: '2 more entries were dropped', data: { cut: 2 } },
    ]);
    expect(log).toHaveLength(10_002);
    // It still runs.
    await service.post(`/api/missions/${id}/execute`).expect(202);
    await hasStatus(service, id, 'COMPLETED', SOON_MS);
  }, 60_000);
});
