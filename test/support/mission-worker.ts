/** Missions and their workers on an embedded store. The policies and one kind of step are set by the test. */
import { readConfig } from '../../src/config/config.js';
import type { ImmuneService } from '../../src/immune/immune.service.js';
import type { Caller } from '../../src/missions/access.js';
import { MissionsService } from '../../src/missions/missions.service.js';
import { StepKinds } from '../../src/missions/steps/kinds.js';
import type { StepKind } from '../../src/missions/steps/step.js';
import { StepAuthorizer } from '../../src/missions/worker/authorize-step.js';
import { RunTools } from '../../src/missions/worker/run-tools.js';
import { MissionsWorker } from '../../src/missions/worker/worker.js';
import type { PolicyService } from '../../src/policy/decisions/policy.service.js';
import { runInContext } from '../../src/shared/context.js';
import type { Logger } from '../../src/shared/logger.js';
import { ShutdownState } from '../../src/shared/shutdown-state.js';
import type { EmbeddedStore } from '../../src/storage/embedded/embedded-store.js';
import type { Store } from '../../src/storage/store.js';
import { type OpenStore, openStore } from './open-store.js';

export const CALLER: Caller = {
  id: 'u',
  role: 'admin',
  mayDelegate: true,
  mayReadAll: true,
  mayPrioritize: true,
  seesSecrets: true,
  speaksFor: () => true,
};
/** The decision by which every step may run. */
export const ALLOWED = {
  decision_id: 'd',
  allowed: true,
  reason: '',
  warnings: [],
  requires_audit: false,
};

/** The API knows its kinds by name, so the tests take the place of one of them. */
export const TEST_KIND = 'immune_event';

export class MissionWorkers {
  /** What the policies answer. */
  readonly evaluate = jest.fn<Promise<object>, unknown[]>(() => Promise.resolve(ALLOWED));
  /** What all workers have logged as a warning. */
  readonly warnings: string[] = [];
  /** What a step of the kind `TEST_KIND` does. */
  step: StepKind['run'] = () => Promise.reject(new Error('the test has no step'));
  readonly missions: MissionsService;
  private readonly config = readConfig({});
  private readonly kinds = new StepKinds({} as ImmuneService, this.config);
  private readonly workers: MissionsWorker[] = [];

  static async open(): Promise<MissionWorkers> {
    return new MissionWorkers(await openStore());
  }

  private constructor(private readonly opened: OpenStore) {
    const kind: StepKind = { faults: () => [], run: (...all) => this.step(...all) };
    (this.kinds.byName as Map<string, StepKind>).set(TEST_KIND, kind);
    // `execute` wakes no worker. A worker that starts searches by itself.
    const idle = { wake: () => undefined } as unknown as MissionsWorker;
    this.missions = new MissionsService(this.store, idle, this.kinds, this.config);
  }

  get store(): EmbeddedStore {
    return this.opened.store;
  }

  /** A worker that has not started yet. `over` replaces methods of its store. */
  make(env: Record<string, string> = {}, over: Partial<Store> = {}): MissionsWorker {
    const store = Object.assign(Object.create(this.store), over) as Store;
    const warn = (message: string): unknown => this.warnings.push(message);
    const logger = { debug() {}, warn } as unknown as Logger;
    const policy = { evaluate: this.evaluate } as unknown as PolicyService;
    const config = readConfig(env);
    const tools = new RunTools(store, this.kinds, new StepAuthorizer(policy, config, logger), logger);
    const worker = new MissionsWorker(config, tools, new ShutdownState());
    this.workers.push(worker);
    return worker;
  }

  /** The id of a new mission that is executed. */
  async execute(mission: object): Promise<string> {
    const { id } = await this.missions.create({ name: 'm', ...mission }, CALLER);
    await this.missions.execute(id, CALLER);
    return id;
  }

  /** The same, started by a principal of this role. */
  executeAs(id: string, role: string, mission: object): Promise<string> {
    const actor = { id, role, name: id };
    return runInContext({ requestId: 'r', correlationId: 'c', actor }, () => this.execute(mission));
  }

  async close(): Promise<void> {
    for (const worker of this.workers) await worker.onModuleDestroy();
    await this.opened.close();
  }
}
