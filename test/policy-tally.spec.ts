/**
 * Every decision is counted once, however its process ends: real processes, `kill -9`, both stores.
 * `npm run test:faults` runs the long form.
 */
import { sleep } from '../src/shared/clock.js';
import { LONG } from './support/effort.js';
import { processesWith, type ServiceProcess } from './support/process.js';
import { STORES, startRedis } from './support/stores.js';
import { until } from './support/until.js';

const KILLS = LONG ? 20 : 1;
const ASKERS = 8;
/** The service writes its sums every quarter of a second; a busy machine needs longer. */
const WRITTEN_MS = 2000;
const LIMIT_MS = LONG ? 600_000 : 60_000;

const QUESTION = { agent_id: 'a', agent_role: 'guest', action: 'doc.read' };

const start = processesWith({ BRAIN_LOG_REQUESTS: 'off' });

async function counted(service: ServiceProcess): Promise<number> {
  const { status, body } = await service.get('/api/policy/stats');
  expect(status).toBe(200);
  const { total_evaluations, total_allows, total_denies } = body as Record<string, number>;
  expect([total_allows, total_denies]).toEqual([total_evaluations, 0]);
  return total_evaluations;
}

/** Sends requests without a pause until the service ends. Records each request, and the time of each answer. */
class Flow {
  sent = 0;
  readonly answeredMs: number[] = [];
  private readonly ended: Promise<unknown>;

  constructor(private readonly service: ServiceProcess) {
    this.ended = Promise.all(Array.from({ length: ASKERS }, () => this.ask()));
  }

  async kill(): Promise<void> {
    await this.service.stop('SIGKILL');
    await this.ended;
  }

  private async ask(): Promise<void> {
    while (this.service.running) {
      this.sent += 1;
      const answer = await this.service.post('/api/policy/evaluate', QUESTION).catch(() => undefined);
      if (answer?.status === 200) this.answeredMs.push(Date.now());
    }
  }
}

describe.each(STORES)('the count of decisions on %s', (_name, startStore) => {
  it(
    `loses at most unwritten counts in ${KILLS} kills, and counts nothing twice`,
    async () => {
      const store = await startStore();
      try {
        let service = await start(store.env);
        let before = 0;
        for (let kill = 0; kill < KILLS; kill += 1) {
          const flow = new Flow(service);
          await until(() => flow.answeredMs.length >= 50, WRITTEN_MS * 5, 'the flow of decisions');
          await sleep(WRITTEN_MS + Math.random() * 500);
          await flow.kill();
          service = await start(store.env);
          const after = await counted(service);
          const endMs = flow.answeredMs.at(-1) ?? 0;
          const written = flow.answeredMs.filter((ms) => ms < endMs - WRITTEN_MS).length;
          expect(written).toBeGreaterThan(0);
          expect(after - before).toBeGreaterThanOrEqual(written);
          expect(after - before).toBeLessThanOrEqual(flow.sent);
          const lost = flow.answeredMs.length - (after - before);
          process.stderr.write(`${flow.answeredMs.length} answered, ${lost} of them not counted\n`);
          before = after;
        }
      } finally {
        await store.stop();
      }
    },
    LIMIT_MS,
  );
});

describe('two replicas that count decisions', () => {
  it('have counted every request when they stop on a signal', async () => {
    const store = await startRedis();
    try {
      const replicas = await Promise.all([start(store.env), start(store.env)]);
      const asks = Array.from({ length: 500 }, (_, i) =>
        replicas[i % 2].post('/api/policy/evaluate', QUESTION),
      );
      for (const { status } of await Promise.all(asks)) expect(status).toBe(200);
      const endings = await Promise.all(replicas.map((service) => service.stop()));
      expect(endings).toEqual(replicas.map(() => ({ code: 0, signal: null })));
      expect(await counted(await start(store.env))).toBe(500);
    } finally {
      await store.stop();
    }
  }, 60_000);
});
