/** Trimming of the log: its limits, the report of what was removed, and what is kept first. On both stores. */
import { defineEvent } from '../src/events/event.js';
import { EventStream } from '../src/events/event-stream.js';
import { StoredEvent } from '../src/events/log/stored-event.js';
import { LogTrimmer } from '../src/events/trimmer.js';
import { Num, Text } from '../src/shared/fields.js';
import { EventLog } from '../src/storage/event-log.js';
import { type Service, startService } from './support/service.js';
import { type RunningStore, STORES } from './support/stores.js';
import { until } from './support/until.js';

class Decision {
  @Text({ max: 64 })
  agent_id!: string;

  @Num()
  n!: number;
}

const denied = defineEvent({
  type: 'test.denied',
  module: 'test',
  payload: Decision,
  subjects: ['agent_id'],
  priority: 'LOW',
  when: 'In the tests.',
  example: { agent_id: 'agent-1', n: 1 },
  consumers: [],
  decision: true,
  of: (n: number): Decision => ({ agent_id: `agent-${n % 10}`, n }),
});

const MAX = 1000;
/** Where the trimmer stops: below the cap, so that it has not to begin again at once. */
const KEPT = 990;

type Counts = Record<string, number>;

describe.each(STORES)('retention on %s', (_name, startStore) => {
  let store: RunningStore;
  let service: Service;
  let stream: EventStream;
  let log: EventLog;

  beforeEach(async () => {
    store = await startStore();
    service = await startService({ ...store.env, BRAIN_EVENTS_MAX_LENGTH: String(MAX) });
    stream = service.app.get(EventStream);
    log = service.app.get(EventLog);
  }, 60_000);
  afterEach(async () => {
    await service.stop();
    await store.stop();
  });

  /** Only of ours: a new installation begins with policies, and their events go as well. */
  const sum = (all: Counts[]): number => all.reduce((a, counts) => a + (counts['test.denied'] ?? 0), 0);
  const told = async (type: string): Promise<{ counts: Counts; reason: string }[]> =>
    (await service.events({ type })).map(({ payload }) => payload as { counts: Counts; reason: string });
  const warnings = async (): Promise<string[]> =>
    (await service.get('/readyz').expect(200)).body.warnings as string[];

  it('trims the log to its length, with its index, and reports what was removed', async () => {
    for (let n = 0; n < 3000; n += 1) stream.publish(denied(n));
    await stream.flush();
    await until(async () => (await log.bounds()).recent.length <= MAX, 10_000, 'the trim');
    const { recent, trimmed } = await log.bounds();
    const { length, first } = recent;
    expect(length).toBeGreaterThan(KEPT - 50);
    const trims = await told('stream.trimmed');
    expect(trims.map(({ reason }) => reason)).toEqual(trims.map(() => 'length'));
    const left = await service.events({ type: 'test.denied' });
    expect(sum(trims.map(({ counts }) => counts)) + left.length).toBe(3000);
    expect(left.map(({ payload }) => (payload as Decision).n)).toEqual(
      Array.from({ length: left.length }, (_, i) => 3000 - left.length + i),
    );
    const ofOne = await service.events({ subject: 'agent-3' });
    expect(ofOne).toHaveLength(
      left.filter(({ payload }) => (payload as Decision).agent_id === 'agent-3').length,
    );
    expect(trims.at(-1)).toMatchObject({ last: trimmed });
    expect(left[0]?.position).toBe(first);
  });

  it('sums allowed decisions up while nothing is old enough to remove, stores the others, and warns', async () => {
    const decide = (action: string, count: number) =>
      service
        .post('/api/policy/evaluate/batch', {
          evaluations: Array.from({ length: count }, () => ({ agent_id: 'a', agent_role: 'admin', action })),
        })
        .expect(200);
    const denying = { field: 'action', operator: '==', value: 'denied' };
    await service
      .post('/api/policy/policies', {
        ...{ policy_id: 'p', name: 'p' },
        rules: [{ rule_id: 'no', name: 'No', effect: 'deny', priority: 2000, conditions: [denying] }],
      })
      .expect(201);
    expect(await warnings()).toEqual([]);
    await decide('allowed', 920);
    await stream.flush();
    await until(() => stream.condensing, 5000, 'the look at the log');
    expect(await warnings()).toEqual([expect.stringContaining('events_nearly_full')]);
    await decide('allowed', 500);
    await decide('denied', 10);
    await stream.close();
    expect(await service.events({ type: 'policy.action_denied' })).toHaveLength(10);
    expect(await service.events({ type: 'policy.rule_evaluated' })).toHaveLength(920 + 10);
    const sums = await service.events({ type: 'policy.decisions_summed' });
    const summed = sums.map(({ payload }) => payload as { count: number; denied: number; reasons: string[] });
    expect(summed.reduce((total, { count }) => total + count, 0)).toBe(500);
    for (const one of summed) expect(one).toMatchObject({ denied: 0, reasons: ['log_nearly_full'] });
    expect(await told('stream.gap')).toEqual([]);
    expect(await told('stream.trimmed')).toEqual([]);
  });

  it('removes nothing within the limits of age and length', async () => {
    const before = (await log.bounds()).length;
    for (let n = 0; n < 100; n += 1) stream.publish(denied(n));
    await stream.flush();
    expect(await service.app.get(LogTrimmer).sweep()).toBe(0);
    expect((await log.bounds()).length).toBe(before + 100);
  });
});

describe('retention by age', () => {
  it('removes events older than the limit, with any length of the log, and reports it', async () => {
    const now = Date.now();
    const day = 86_400_000;
    // The log begins with the policies of a new installation, and its positions never go back: so they are of old, too.
    const { now: real } = Date;
    const past = jest.spyOn(Date, 'now').mockImplementation(() => real() - 2 * day);
    const service = await startService({ BRAIN_EVENTS_RETENTION_DAYS: '1' });
    past.mockRestore();
    const stream = service.app.get(EventStream);
    const log = service.app.get(EventLog);
    const write = async (from: number, count: number, agoMs: number): Promise<void> => {
      const clock = jest.spyOn(Date, 'now').mockReturnValue(now - agoMs);
      for (let n = from; n < from + count; n += 1) stream.publish(denied(n));
      await stream.flush();
      clock.mockRestore();
    };
    await write(0, 600, 2 * day - 60_000);
    await write(600, 5, 0.5 * day);
    await write(605, 5, 0);
    await until(async () => (await log.bounds()).length <= 20, 10_000, 'the trim');
    const types = (await log.read({ order: 'asc', limit: 100 })).map((event) => new StoredEvent(event).type);
    const kept = types.filter((type) => type !== 'stream.trimmed');
    expect(kept).toEqual(Array.from({ length: 10 }, () => 'test.denied'));
    const trims = (await service.events({ type: 'stream.trimmed' })).map(
      ({ payload }) => payload as { counts: Counts; reason: string },
    );
    expect(trims.map(({ reason }) => reason)).toEqual(trims.map(() => 'age'));
    expect(trims.reduce((sum, { counts }) => sum + (counts['test.denied'] ?? 0), 0)).toBe(600);
    await service.stop();
  });
});
