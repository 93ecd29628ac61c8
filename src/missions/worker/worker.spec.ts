/** One worker on the embedded store, in rare situations that these tests create on purpose. */
import { ALLOWED, CALLER, MissionWorkers, TEST_KIND } from '../../../test/support/mission-worker.js';
import { templateOf } from '../../../test/support/missions.js';
import { until } from '../../../test/support/until.js';
import { sleep } from '../../shared/clock.js';
import { BrainError } from '../../shared/errors.js';
import type { EmbeddedStore } from '../../storage/embedded/embedded-store.js';
import type { Collection, Lease, ListQuery, Page, Store, Tx } from '../../storage/store.js';
import { HELD, MISSION_RESULTS, MISSIONS, resultId, type StoredMission } from '../missions.collection.js';
import type { Mission } from '../missions.dto.js';
import type { MissionsService } from '../missions.service.js';
import type { MissionsWorker } from './worker.js';

const SOON_MS = 10_000;
const at = (name = 'a'): object => ({ name, kind: 'wait', params: { seconds: 0 } });
/** The fence of a worker that is gone. */
const GONE = 999_999;

describe('a worker', () => {
  let embedded: EmbeddedStore;
  let workers: MissionWorkers;
  let missions: MissionsService;

  beforeEach(async () => {
    workers = await MissionWorkers.open();
    ({ store: embedded, missions } = workers);
  });
  afterEach(() => workers.close());

  const worker = (env?: Record<string, string>, over?: Partial<Store>): MissionsWorker =>
    workers.make(env, over);
  const make = async (over: Partial<StoredMission> = {}, input: object = {}): Promise<string> => {
    const id = await workers.execute({ steps: [at()], ...input });
    await change(id, over);
    return id;
  };
  const change = (id: string, over: Partial<StoredMission>): Promise<void> =>
    embedded.transaction(async (tx) => {
      const mission = await tx.get(MISSIONS, id);
      if (mission) tx.put(MISSIONS, { ...mission, ...over });
    });
  const held = (over: Partial<StoredMission> = {}): Partial<StoredMission> => ({
    status: 'RUNNING',
    due_at: 1,
    held_by: GONE,
    ...over,
  });
  const ended = async (id: string): Promise<Mission> => {
    const hasEnded = async (): Promise<boolean> => (await missions.get(id, CALLER)).finished_at !== null;
    await until(hasEnded, SOON_MS, 'the end of the mission', 10);
    return missions.get(id, CALLER);
  };

  describe('that takes a mission over', () => {
    it('counts the takeover first, and resets the count when a step is done', async () => {
      const id = await make(held({ takeovers: 8 }));
      let before: StoredMission | undefined;
      workers.evaluate.mockImplementation(async () => {
        before = await embedded.get(MISSIONS, id);
        return ALLOWED;
      });
      worker().onApplicationBootstrap();
      expect(await ended(id)).toMatchObject({ status: 'COMPLETED' });
      expect(before).toMatchObject({ takeovers: 9, status: 'RUNNING' });
      expect(await embedded.get(MISSIONS, id)).toMatchObject({ takeovers: 0 });
    });

    it('finds it among any number of missions with living workers', async () => {
      const alive: string[] = [];
      const orphans: string[] = [];
      for (let i = 0; i < 12; i += 1) alive.push(await make(held({ due_at: 1 + i })));
      for (let i = 0; i < 7; i += 1) orphans.push(await make(held({ due_at: 100 + i })));
      for (const id of alive) await embedded.acquire(`mission:${id}`, 60_000);
      // Pages of three.
      const list = <T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>> =>
        embedded.list(collection, { ...query, limit: 3 });
      worker({ BRAIN_MISSIONS_CONCURRENCY: '2' }, { list }).onApplicationBootstrap();
      for (const id of orphans) expect(await ended(id)).toMatchObject({ status: 'COMPLETED' });
      for (const id of alive) expect((await missions.get(id, CALLER)).finished_at).toBeNull();
    });

    it('fails it after ten lost workers in one step; a retry starts the count again', async () => {
      const id = await make(held({ takeovers: 9 }));
      const one = worker();
      one.onApplicationBootstrap();
      expect(await ended(id)).toMatchObject({
        status: 'FAILED',
        error: {
          code: 'worker_lost',
          message:
            '10 workers in a row were lost in this step; find the cause in the log of the service before a retry',
          step: 'a',
        },
      });
      expect(workers.evaluate).not.toHaveBeenCalled();
      expect(await embedded.get(MISSIONS, id)).toMatchObject({ takeovers: 0 });
    });
  });

  it('runs a mission while entries are added to its log', async () => {
    const id = await make();
    workers.evaluate.mockImplementation(async () => {
      await missions.log(id, { message: 'still here' }, CALLER);
      return ALLOWED;
    });
    worker().onApplicationBootstrap();
    expect(await ended(id)).toMatchObject({ status: 'COMPLETED' });
    expect(workers.evaluate).toHaveBeenCalledTimes(1);
  });

  it('writes once although a write that timed out is applied after its repetition', async () => {
    const id = await make({}, { steps: [at('a'), at('b'), at('c')] });
    let writes = 0;
    let late: () => Promise<unknown>;
    const transaction = async <T>(work: (tx: Tx) => Promise<T> | T): Promise<T> => {
      writes += 1;
      if (writes === 2) {
        late = () => embedded.transaction(work);
        throw new BrainError('unavailable', 'store_timeout', 'late');
      }
      if (writes === 4) await late();
      return embedded.transaction(work);
    };
    worker({}, { transaction }).onApplicationBootstrap();
    expect(await ended(id)).toMatchObject({ status: 'COMPLETED', progress: { done: 3, total: 3 } });
    const { log } = await missions.entries(id, { limit: 100 }, CALLER);
    expect(log.filter(({ message }) => message === 'Step completed')).toHaveLength(3);
  });

  it('runs the readable missions, and warns about the others once a minute', async () => {
    const unreadable = [await make(held()), await make({ priority: 'HIGH' })];
    const others = [await make({ priority: 'CRITICAL' }), await make({ priority: 'LOW' })];
    const list = <T>(collection: Collection<T>, query: ListQuery): Promise<Page<T>> => {
      const isDamaged = [HELD, 'HIGH'].includes(query.where?.due ?? '');
      if (isDamaged) return Promise.reject(new BrainError('unavailable', 'store_damaged', 'unreadable'));
      return embedded.list(collection, query);
    };
    worker({}, { list }).onApplicationBootstrap();
    for (const id of others) expect(await ended(id)).toMatchObject({ status: 'COMPLETED' });
    for (const id of unreadable) expect((await missions.get(id, CALLER)).finished_at).toBeNull();
    expect(workers.warnings).toEqual(['the search for missions failed; it is repeated']);
  });

  it('pauses before it runs a mission again after an error', async () => {
    const params = { seconds: templateOf('steps.a.result.s') };
    const outcomes = { a: { result: null, decision_id: null, bytes: 70_000 } };
    const id = await make({ outcomes }, { steps: [at('a'), { ...at('b'), params }] });
    const result = { id: resultId(id, 'a'), mission_id: id, result: { s: 0 } };
    await embedded.transaction((tx) => tx.insert(MISSION_RESULTS, result));
    let tries = 0;
    const get = <T>(collection: Collection<T>, key: string): Promise<T | undefined> => {
      tries += 1;
      if (tries === 1) return Promise.reject(new BrainError('unavailable', 'store_unavailable', 'away'));
      return embedded.get(collection, key);
    };
    worker({}, { get }).onApplicationBootstrap();
    await until(() => tries === 1, SOON_MS, 'the first try', 10);
    await sleep(500);
    expect(tries).toBe(1);
    expect(await ended(id)).toMatchObject({ status: 'COMPLETED' });
  });

  describe('and large results', () => {
    const large = (bytes = 70_000): object => ({ result: null, decision_id: null, bytes });
    const store = (id: string, step: string, result: unknown): Promise<void> =>
      embedded.transaction((tx) =>
        tx.insert(MISSION_RESULTS, { id: resultId(id, step), mission_id: id, result }),
      );
    const steps = [at('a'), at('b'), { ...at('c'), params: { seconds: templateOf('steps.b.result.s') } }];

    it('loads only those that the step names', async () => {
      const id = await make({ outcomes: { a: large(), b: large() } as never }, { steps });
      await store(id, 'b', { s: 0 });
      const loaded: string[] = [];
      const get = <T>(collection: Collection<T>, key: string): Promise<T | undefined> => {
        if (collection.name === MISSION_RESULTS.name) loaded.push(key);
        return embedded.get(collection, key);
      };
      worker({}, { get }).onApplicationBootstrap();
      expect(await ended(id)).toMatchObject({ status: 'COMPLETED' });
      expect(loaded).toEqual([resultId(id, 'b')]);
    });

    /** The error of a mission that has results for its first two steps. */
    const errorAfter = async (first: object, second: object, of: object[]): Promise<unknown> => {
      const id = await make({ outcomes: { a: first, b: second } as never }, { steps: of });
      worker().onApplicationBootstrap();
      return (await ended(id)).error;
    };

    it('fails a step whose values are missing', async () => {
      const message = 'the result of the step b is not stored any more; create the mission again';
      const error = { code: 'result_missing', message, step: 'c' };
      expect(await errorAfter(large(), large(), steps)).toEqual(error);
    });

    it('fails a step whose result would exceed 16 MiB in all', async () => {
      const message = 'the results of all steps together exceed 16 MiB; let the steps return less';
      const [first, second] = [large(8 * 2 ** 20), large(8 * 2 ** 20 - 10)];
      const error = { code: 'results_too_large', message, step: 'c' };
      expect(await errorAfter(first, second, [at('a'), at('b'), at('c')])).toEqual(error);
    });
  });

  it('ends a step when its lease ends, counted from the request for the lease', async () => {
    const ends = new Promise<[reason: unknown, atMs: number]>((resolve) => {
      workers.step = (_params, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            resolve([signal.reason, performance.now()]);
            reject(new Error('ended'));
          });
        });
    });
    await make({}, { steps: [{ name: 'a', kind: TEST_KIND }] });
    let askedMs = 0;
    const acquire = async (name: string, ttlMs: number): Promise<Lease | undefined> => {
      askedMs = performance.now();
      const lease = await embedded.acquire(name, ttlMs);
      await sleep(300);
      return lease;
    };
    const renew = (): Promise<boolean> =>
      Promise.reject(new BrainError('unavailable', 'store_unavailable', 'away'));
    worker({ BRAIN_MISSIONS_LEASE_SECONDS: '3' }, { acquire, renew }).onApplicationBootstrap();
    const [reason, atMs] = await ends;
    expect(reason).toBe('lease_lost');
    expect(atMs - askedMs).toBeGreaterThan(2900);
    expect(atMs - askedMs).toBeLessThan(3250);
  });

  it('takes other missions if the lease of one is unavailable', async () => {
    const first = await make({ priority: 'CRITICAL' });
    const second = await make();
    const acquire = (name: string, ttlMs: number): Promise<Lease | undefined> => {
      if (!name.endsWith(first)) return embedded.acquire(name, ttlMs);
      return Promise.reject(new BrainError('unavailable', 'store_unavailable', 'away'));
    };
    worker({ BRAIN_MISSIONS_CONCURRENCY: '1' }, { acquire }).onApplicationBootstrap();
    expect(await ended(second)).toMatchObject({ status: 'COMPLETED' });
  });

  it('starts no run if it is stopped while it acquires the lease', async () => {
    const id = await make();
    let over: Promise<void> | undefined;
    const acquire = (name: string, ttlMs: number): Promise<Lease | undefined> => {
      over = one.onModuleDestroy();
      return embedded.acquire(name, ttlMs);
    };
    const one = worker({}, { acquire });
    one.onApplicationBootstrap();
    await until(() => over !== undefined, SOON_MS, 'the end of the worker', 10);
    await over;
    expect(await missions.get(id, CALLER)).toMatchObject({ status: 'PENDING' });
    expect(await embedded.acquire(`mission:${id}`, 1000)).toBeDefined();
  });

  it('searches again after every call of wake, even at the end of a search', async () => {
    let searches = 0;
    const list = <T>(): Promise<Page<T>> => {
      searches += 1;
      return Promise.resolve({ rows: [], total: 0, next: null });
    };
    const one = worker({}, { list });
    for (let steps = 0; steps < 60; steps += 1) {
      one.wake();
      for (let i = 0; i < steps; i += 1) await Promise.resolve();
      const before = searches;
      one.wake();
      await sleep(1);
      expect([steps, searches - before]).not.toEqual([steps, 0]);
    }
  });
});
