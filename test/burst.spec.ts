/**
 * A thousand immune events a second, reported to three replicas on one Redis. Real processes;
 * `npm run test:faults` runs the long form.
 */
import type { ImmuneEvent, ImmuneHealth } from '../src/immune/immune.dto.js';
import { SEVERITIES, TYPES } from '../src/immune/immune.health.js';
import { sleep } from '../src/shared/clock.js';
import { walk } from './faults/ledger.js';
import { LONG } from './support/effort.js';
import { temporaryFolder } from './support/folder.js';
import { ServiceProcess } from './support/process.js';
import { RedisServer } from './support/redis-server.js';

const A_SECOND = 1000;
const SECONDS = LONG ? 10 : 2;
const TICK_MS = 10;
const LIMIT_MS = 120_000;

describe('a burst of immune events to three replicas', () => {
  const folder = temporaryFolder();
  let redis: RedisServer;
  let replicas: ServiceProcess[] = [];

  beforeAll(async () => {
    redis = await RedisServer.start();
    const env = { REDIS_URL: redis.url, BRAIN_DATA_DIR: folder.path, BRAIN_LOG_REQUESTS: 'off' };
    replicas = await Promise.all([1, 2, 3].map(() => ServiceProcess.start(env)));
  }, 60_000);
  afterAll(async () => {
    await Promise.all(replicas.map((replica) => replica.stop()));
    await redis.stop();
    folder.remove();
  });

  /** Each kind of event in its turn, to each replica in its turn. */
  const report = async (n: number): Promise<number> => {
    const severity = SEVERITIES[n % SEVERITIES.length];
    const type = TYPES[n % TYPES.length];
    const body = { severity, type, message: `event ${n}`, agent_id: `agent-${n % 100}`, meta: { n } };
    const answer = await replicas[n % replicas.length].post('/api/immune/event', body);
    expect([answer.status, answer.body]).toEqual([200, expect.any(Number)]);
    return answer.body as unknown as number;
  };

  it(
    `of ${A_SECOND} a second for ${SECONDS} s is stored, each event once, and the summary equals a recount`,
    async () => {
      const count = A_SECOND * SECONDS;
      const startMs = performance.now();
      const answers: Promise<number>[] = [];
      while (answers.length < count) {
        const due = Math.min(count, ((performance.now() - startMs) / 1000) * A_SECOND);
        while (answers.length < due) answers.push(report(answers.length));
        await sleep(TICK_MS);
      }
      const ids = await Promise.all(answers);
      expect(new Set(ids).size).toBe(count);

      const [one] = replicas;
      const events = (await walk(one, '/api/immune/events?view=full', 'events')) as ImmuneEvent[];
      const byId = new Map(events.map((event) => [event.id, event]));
      expect([events.length, byId.size]).toEqual([count, count]);
      expect(ids.filter((id, n) => byId.get(id)?.meta.n !== n)).toEqual([]);

      const recount = (field: 'severity' | 'type', values: readonly string[]): object =>
        Object.fromEntries(
          values.map((value) => [value, events.filter((event) => event[field] === value).length]),
        );
      for (const replica of replicas) {
        const health = (await replica.get('/api/immune/health')).body as unknown as ImmuneHealth;
        expect(health).toMatchObject({
          status: 'critical',
          active_issues: count,
          by_severity: recount('severity', SEVERITIES),
          by_type: recount('type', TYPES),
        });
      }

      const told = (await walk(one, '/api/events?order=asc&type=immune.*', 'events')) as Told[];
      const toldOf = (type: string): number[] =>
        told.filter((event) => event.type === type).map(({ payload }) => payload.event_id);
      const sorted = (numbers: number[]): number[] => numbers.sort((a, b) => a - b);
      const critical = events.filter(({ severity }) => severity === 'CRITICAL');
      expect(sorted(toldOf('immune.event_published'))).toEqual(sorted(ids));
      expect(sorted(toldOf('immune.critical_event'))).toEqual(sorted(critical.map(({ id }) => id)));
    },
    LIMIT_MS,
  );
});

interface Told {
  type: string;
  payload: { event_id: number };
}
