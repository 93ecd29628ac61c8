/**
 * Missions under way while the service or its Redis is killed: clients that make and execute them and do not give up, and what
 * must be true of all of them afterwards. Each step is counted where it arrives.
 */
import type { LogEntry } from '../../src/missions/log.dto.js';
import type { Mission } from '../../src/missions/missions.dto.js';
import { hasEnded, type MissionStatus, STATUSES } from '../../src/missions/missions.lifecycle.js';
import { sleep } from '../../src/shared/clock.js';
import { logOf } from '../support/missions.js';
import type { ProcessAnswer, ServiceProcess } from '../support/process.js';
import { json, type Target } from '../support/target.js';
import { until } from '../support/until.js';

const STEPS = 3;
const STEP_MS = 60;
const CLIENTS = 4;
/** Together they ask for less than one process on the embedded store can do: a queue is no fault. */
const PAUSE_MS = 100;
/** A client that is not served for this long has found a service that does not recover. */
const INSIST_MS = 60_000;
/** From the last fault until every mission has ended. */
const END_MS = 60_000;
const TAKEN_OVER = 'Taken over: the worker that held the mission is gone';

export class MissionLoad {
  readonly ids: string[] = [];
  private stopping = false;
  private kept?: (() => void)[];
  private readonly clients: Promise<unknown>;

  /** `services` are those that run at the moment; with `count` it ends when so many missions were made. */
  constructor(
    private readonly services: () => ServiceProcess[],
    private readonly target: Target,
    private readonly count = Number.POSITIVE_INFINITY,
  ) {
    target.on('/step', (_asked, response) => {
      if (this.kept) this.kept.push(() => json(response, {}));
      else setTimeout(() => json(response, {}), STEP_MS);
    });
    this.clients = Promise.all(Array.from({ length: CLIENTS }, () => this.client()));
  }

  async made(count: number): Promise<void> {
    await until(() => this.ids.length >= count, INSIST_MS * 5, `${count} missions made`);
  }

  /** Does something while so many steps are under way: more than the others have places for, so everyone has one in its hands. */
  async during(steps: number, work: () => unknown): Promise<void> {
    const kept: (() => void)[] = [];
    this.kept = kept;
    await until(() => kept.length >= steps, INSIST_MS, `${steps} steps under way`);
    await work();
    this.kept = undefined;
    for (const answer of kept) answer();
  }

  /** Resolves when all have been made and executed. */
  over(): Promise<unknown> {
    return this.clients;
  }

  stop(): Promise<unknown> {
    this.stopping = true;
    return this.clients;
  }

  /** A failover may take back that a mission was made, or that it was executed; who made it sees that and asks again. */
  async executeAgain(): Promise<number> {
    const lost: string[] = [];
    for (const id of this.ids) {
      const { status } = await this.insist((service) => service.post(`/api/missions/${id}/execute`, {}));
      if (status === 404) lost.push(id);
    }
    for (const id of lost) this.ids.splice(this.ids.indexOf(id), 1);
    return lost.length;
  }

  /** All have ended well, each step in its order, repeated only where its worker was gone; what is counted equals a recount. */
  async verify({ rollback = false } = {}): Promise<{ repeated: number; takenOver: number }> {
    const [service] = this.services();
    const ended = async (): Promise<boolean> => {
      const { body } = await service.get('/api/missions/stats/overview');
      const { by_status } = body.stats as { by_status: Record<MissionStatus, number> };
      return STATUSES.every((status) => hasEnded(status) || by_status[status] === 0);
    };
    // Those that have not ended are told below, with all that is known of them.
    await until(ended, END_MS, 'the end of all missions').catch(() => undefined);
    const missions = await allOf(service);
    const open = missions.filter(({ status }) => !hasEnded(status));
    expect([open.length, open.slice(0, 3)]).toEqual([0, []]);
    expect(missions.map(({ id }) => id).sort()).toEqual([...this.ids].sort());
    await expectTrueStatistics(service, missions);
    const times = new Map<string, number>();
    for (const { headers } of this.target.asked) {
      const key = String(headers['idempotency-key']);
      times.set(key, (times.get(key) ?? 0) + 1);
    }
    const sum = { repeated: 0, takenOver: 0 };
    for (const mission of missions) {
      const takenOver = expectLegal(mission, await logOf(service, mission.id));
      const asked = mission.steps.map(({ name }) => times.get(`${mission.id}:${name}:1`) ?? 0);
      expect(Math.min(...asked)).toBeGreaterThan(0);
      const repeated = asked.reduce((all, one) => all + one - 1, 0);
      // A failover forgets also that a step was run, or taken over.
      if (!rollback) expect([mission.id, repeated <= takenOver]).toEqual([mission.id, true]);
      sum.repeated += repeated;
      sum.takenOver += takenOver;
    }
    return sum;
  }

  private async client(): Promise<void> {
    const steps = Array.from({ length: STEPS }, (_, i) => ({
      name: `step-${i}`,
      kind: 'http',
      params: { url: `${this.target.url}/step` },
      retry: { attempts: 1 },
    }));
    while (!this.stopping && this.ids.length < this.count) {
      const id = `mission-${this.ids.length}`;
      this.ids.push(id);
      // Where an answer got lost it was made, or is under way, already: then the second one is a 409.
      await this.insist((service) => service.post('/api/missions', { id, name: 'm', steps }));
      await this.insist((service) => service.post(`/api/missions/${id}/execute`, {}));
      await sleep(PAUSE_MS);
    }
  }

  private async insist(ask: (service: ServiceProcess) => Promise<ProcessAnswer>): Promise<ProcessAnswer> {
    const endMs = Date.now() + INSIST_MS;
    for (;;) {
      const running = this.services().filter((service) => service.running);
      const service = running[Math.floor(Math.random() * running.length)];
      const answer = service && (await ask(service).catch(() => undefined));
      if (answer && [201, 202, 404, 409].includes(answer.status)) return answer;
      if (answer && answer.status !== 503) throw new Error(`it was answered ${JSON.stringify(answer)}`);
      if (Date.now() > endMs) throw new Error('nobody serves any more');
      await sleep(PAUSE_MS);
    }
  }
}

async function allOf(service: ServiceProcess): Promise<Mission[]> {
  const all: Mission[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const { body } = await service.get(`/api/missions?view=full&limit=500${cursor && `&cursor=${cursor}`}`);
    all.push(...(body.missions as Mission[]));
    cursor = body.next_cursor as string | null;
  }
  return all;
}

async function expectTrueStatistics(service: ServiceProcess, missions: Mission[]): Promise<void> {
  const { body } = await service.get('/api/missions/stats/overview');
  const by_status = STATUSES.map((one) => [one, missions.filter(({ status }) => status === one).length]);
  expect(body.stats).toMatchObject({ total: missions.length, by_status: Object.fromEntries(by_status) });
}

/**
 * One history: made, begun, each step started before it was completed and completed once, ended. A line of a run that lost its
 * lease would stand between those of the run that took the mission over. Returns how often it was taken over.
 */
function expectLegal(mission: Mission, log: LogEntry[]): number {
  const told = (): string =>
    `${JSON.stringify(mission)}\n${log.map((line) => JSON.stringify(line)).join('\n')}`;
  const legal = (is: boolean): void => {
    if (!is) throw new Error(`this is no legal history: ${told()}`);
  };
  const [created, begun, ...lines] = log;
  const end = lines.pop();
  legal(mission.status === 'COMPLETED' && mission.attempts === 1 && mission.progress.done === STEPS);
  legal(created?.message === 'Mission created');
  legal(begun?.data.from === 'PENDING' && begun.data.to === 'RUNNING');
  legal(end?.data.from === 'RUNNING' && end.data.to === 'COMPLETED');
  let completed = 0;
  let takenOver = 0;
  let isStarted = false;
  for (const { message, data } of lines) {
    if (message === TAKEN_OVER) {
      takenOver += 1;
      isStarted = false;
      continue;
    }
    legal(data.step === `step-${completed}`);
    legal(message === (isStarted ? 'Step completed' : 'Step started'));
    if (isStarted) completed += 1;
    isStarted = !isStarted;
  }
  legal(completed === STEPS);
  expect(Object.keys(mission.result as object)).toEqual(mission.steps.map(({ name }) => name));
  return takenOver;
}
