/** When missions are due, where the clock of the store is another than that of the process. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../../test/support/redis-server.js';
import { readConfig } from '../../config/config.js';
import type { ImmuneService } from '../../immune/immune.service.js';
import type { PolicyService } from '../../policy/decisions/policy.service.js';
import { sleep } from '../../shared/clock.js';
import type { Logger } from '../../shared/logger.js';
import { ShutdownState } from '../../shared/shutdown-state.js';
import { EmbeddedDatabase } from '../../storage/embedded/database.js';
import { EmbeddedEventLog } from '../../storage/embedded/embedded-event-log.js';
import { EmbeddedStore } from '../../storage/embedded/embedded-store.js';
import type { StoreTime } from '../../storage/store.js';
import { MISSIONS, type StoredMission } from '../missions.collection.js';
import type { NewMission } from '../missions.dto.js';
import { MissionsService } from '../missions.service.js';
import { StepFailure, type StepKind } from '../steps/step.js';
import { MissionsWorker } from './worker.js';

const asker = { id: 'u', role: 'admin', mayDelegate: true };
const SOON_MS = 10_000;
const EARLIEST = 1000;
const LATEST = 1010;

describe('a mission', () => {
  let folder: string;
  let store: EmbeddedStore;
  let worker: MissionsWorker;
  let missions: MissionsService;
  let evaluate: jest.Mock;
  let time: StoreTime;
  let step: StepKind['run'];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'brain-due-'));
    const db = await EmbeddedDatabase.open(folder, { maxBytes: 2 ** 30 });
    store = new EmbeddedStore(db, new EmbeddedEventLog(db));
    time = { earliest: EARLIEST, latest: LATEST };
    jest.spyOn(store, 'clock').mockImplementation(() => time);
    const decision = { decision_id: 'd', allowed: true, reason: '', warnings: [], requires_audit: false };
    evaluate = jest.fn(() => Promise.resolve(decision));
    const logger = { debug() {}, warn() {} } as unknown as Logger;
    const policy = { evaluate } as unknown as PolicyService;
    const config = { ...readConfig({}), shutdownGraceSeconds: 0 };
    worker = new MissionsWorker(store, config, policy, {} as ImmuneService, logger, new ShutdownState());
    (worker.kinds as Map<string, StepKind>).set('test', { faults: () => [], run: (...all) => step(...all) });
    missions = new MissionsService(store, { kinds: worker.kinds, kick() {} } as unknown as MissionsWorker);
  });
  afterEach(async () => {
    await worker.onModuleDestroy();
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const make = async (of: object): Promise<string> => {
    const { id } = await missions.create({ name: 'm', steps: [{ name: 'a', ...of }] } as NewMission, asker);
    await missions.execute(id, asker);
    return id;
  };
  const stored = async (id: string): Promise<StoredMission> => {
    const mission = await store.get(MISSIONS, id);
    if (!mission) throw new Error(`${id} is missing`);
    return mission;
  };
  const becomes = async (id: string, isSo: (mission: StoredMission) => boolean): Promise<StoredMission> => {
    await until(async () => isSo(await stored(id)), SOON_MS, 'what the worker does with it');
    return stored(id);
  };
  const waits = (seconds: number): object => ({ kind: 'wait', params: { seconds } });

  it('that is executed or tried again is due when that has surely come', async () => {
    const id = await make(waits(0));
    expect(await stored(id)).toMatchObject({ due_at: EARLIEST });
    for (const status of ['RUNNING', 'FAILED'] as const) await missions.changeStatus(id, { status }, asker);
    expect(await stored(id)).toMatchObject({ due_at: null });
    await missions.retry(id, asker);
    expect(await stored(id)).toMatchObject({ due_at: EARLIEST, status: 'PENDING' });
  });

  it('is taken when its time has surely come, and not before', async () => {
    const id = await make(waits(0));
    time = { earliest: EARLIEST - 0.001, latest: LATEST + 60 };
    worker.onApplicationBootstrap();
    // It was looked for, and the next look is a second away.
    await sleep(500);
    expect(await stored(id)).toMatchObject({ status: 'PENDING', run_writes: 0 });
    time = { earliest: EARLIEST, latest: LATEST };
    await becomes(id, ({ status }) => status === 'COMPLETED');
  });

  it('that waits is due when it has surely waited so long', async () => {
    const id = await make(waits(50));
    worker.onApplicationBootstrap();
    const mission = await becomes(id, ({ waiting }) => waiting !== null);
    expect(mission).toMatchObject({ due_at: LATEST + 50, waiting: { until: LATEST + 50 }, held_by: null });
    time = { earliest: LATEST + 50, latest: LATEST + 51 };
    await becomes(id, ({ status }) => status === 'COMPLETED');
  });

  it('that is to be tried again waits at least as long as its log says', async () => {
    step = () => Promise.reject(new StepFailure('busy', 'busy'));
    const id = await make({ kind: 'test', retry: { attempts: 2, backoff_seconds: 40 } });
    worker.onApplicationBootstrap();
    const { due_at } = await becomes(id, ({ step_attempts }) => step_attempts === 1);
    const { log } = await missions.entries(id, { limit: 100 });
    const said = log.find(({ message }) => message.startsWith('Step failed'))?.data as {
      after_seconds: number;
    };
    expect(due_at).toBe(LATEST + said.after_seconds);
  });

  it('about which the policies cannot be asked rests for two seconds', async () => {
    evaluate.mockRejectedValue(new Error('away'));
    const id = await make(waits(0));
    worker.onApplicationBootstrap();
    await becomes(id, ({ run_writes, held_by }) => run_writes > 0 && held_by === null);
    expect(await stored(id)).toMatchObject({ due_at: LATEST + 2 });
  });

  it('that is handed back by a worker that stops is due at once', async () => {
    let begun = false;
    step = (_params, { signal }) => {
      begun = true;
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('ended'))));
    };
    const id = await make({ kind: 'test' });
    worker.onApplicationBootstrap();
    await until(() => begun, SOON_MS, 'the step');
    time = { earliest: EARLIEST + 5, latest: LATEST + 5 };
    await worker.onModuleDestroy();
    expect(await stored(id)).toMatchObject({ due_at: EARLIEST + 5, held_by: null, status: 'RUNNING' });
  });
});
