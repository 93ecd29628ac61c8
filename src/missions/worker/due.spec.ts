/** When missions are due if the clock of the store differs from the clock of the process. */
import { CALLER, MissionWorkers, TEST_KIND } from '../../../test/support/mission-worker.js';
import { until } from '../../../test/support/until.js';
import { sleep } from '../../shared/clock.js';
import type { EmbeddedStore } from '../../storage/embedded/embedded-store.js';
import type { StoreTime } from '../../storage/store.js';
import { MISSIONS, type StoredMission } from '../missions.collection.js';
import type { MissionsService } from '../missions.service.js';
import { StepFailure } from '../steps/step.js';
import type { MissionsWorker } from './worker.js';

const SOON_MS = 10_000;
const EARLIEST = 1000;
const LATEST = 1010;

describe('a mission', () => {
  let store: EmbeddedStore;
  let workers: MissionWorkers;
  let worker: MissionsWorker;
  let missions: MissionsService;
  let time: StoreTime;

  beforeEach(async () => {
    workers = await MissionWorkers.open();
    ({ store, missions } = workers);
    time = { earliest: EARLIEST, latest: LATEST };
    jest.spyOn(store, 'clock').mockImplementation(() => time);
    worker = workers.make({ BRAIN_SHUTDOWN_GRACE_SECONDS: '1' });
  });
  afterEach(() => workers.close());

  const make = (step: object): Promise<string> => workers.execute({ steps: [{ name: 'a', ...step }] });
  const stored = async (id: string): Promise<StoredMission> => {
    const mission = await store.get(MISSIONS, id);
    if (!mission) throw new Error(`${id} is missing`);
    return mission;
  };
  const becomes = async (id: string, isSo: (mission: StoredMission) => boolean): Promise<StoredMission> => {
    await until(async () => isSo(await stored(id)), SOON_MS, 'the change by the worker');
    return stored(id);
  };
  const waits = (seconds: number): object => ({ kind: 'wait', params: { seconds } });

  it('is due at the earliest time of the store after execute or retry', async () => {
    const id = await make(waits(0));
    expect(await stored(id)).toMatchObject({ due_at: EARLIEST });
    for (const status of ['RUNNING', 'FAILED'] as const) await missions.changeStatus(id, { status }, CALLER);
    expect(await stored(id)).toMatchObject({ due_at: null });
    await missions.retry(id, CALLER);
    expect(await stored(id)).toMatchObject({ due_at: EARLIEST, status: 'PENDING' });
  });

  it('is not taken before the earliest time of the store reaches its due time', async () => {
    const id = await make(waits(0));
    time = { earliest: EARLIEST - 0.001, latest: LATEST + 60 };
    worker.onApplicationBootstrap();
    // The worker has searched, and its next search is a second away.
    await sleep(500);
    expect(await stored(id)).toMatchObject({ status: 'PENDING', run_writes: 0 });
    time = { earliest: EARLIEST, latest: LATEST };
    await becomes(id, ({ status }) => status === 'COMPLETED');
  });

  it('that waits is due after the latest time of the store plus the wait', async () => {
    const id = await make(waits(50));
    worker.onApplicationBootstrap();
    const mission = await becomes(id, ({ waiting }) => waiting !== null);
    expect(mission).toMatchObject({ due_at: LATEST + 50, waiting: { until: LATEST + 50 }, held_by: null });
    time = { earliest: LATEST + 50, latest: LATEST + 51 };
    await becomes(id, ({ status }) => status === 'COMPLETED');
  });

  it('whose step failed waits at least as long as its log says', async () => {
    workers.step = () => Promise.reject(new StepFailure('busy', 'busy'));
    const id = await make({ kind: TEST_KIND, retry: { attempts: 2, backoff_seconds: 40 } });
    worker.onApplicationBootstrap();
    const { due_at } = await becomes(id, ({ step_attempts }) => step_attempts === 1);
    const { log } = await missions.entries(id, { limit: 100 }, CALLER);
    const said = log.find(({ message }) => message.startsWith('Step failed'))?.data as {
      after_seconds: number;
    };
    expect(due_at).toBe(LATEST + said.after_seconds);
  });

  it('waits two seconds while the policies are unavailable', async () => {
    workers.evaluate.mockRejectedValue(new Error('away'));
    const id = await make(waits(0));
    worker.onApplicationBootstrap();
    await becomes(id, ({ run_writes, held_by }) => run_writes > 0 && held_by === null);
    expect(await stored(id)).toMatchObject({ due_at: LATEST + 2 });
  });

  it('that a stopping worker hands back is due at once', async () => {
    let begun = false;
    workers.step = (_params, { signal }) => {
      begun = true;
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('ended'))));
    };
    const id = await make({ kind: TEST_KIND });
    worker.onApplicationBootstrap();
    await until(() => begun, SOON_MS, 'the step');
    time = { earliest: EARLIEST + 5, latest: LATEST + 5 };
    await worker.onModuleDestroy();
    expect(await stored(id)).toMatchObject({ due_at: EARLIEST + 5, held_by: null, status: 'RUNNING' });
  });
});
