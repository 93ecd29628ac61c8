/**
 * A failover takes back the events of changes, and the clocks differ. Positions have the time of Redis and timestamps that of
 * the process, but the gap covers the timestamps.
 */
import { sleep } from '../src/shared/clock.js';
import { cleanUpAfterEach } from './support/cleanup.js';
import { EVENT_LOG, type Gap, replicated, startPair, wireTo } from './support/redis-pair.js';
import { type Service, startService } from './support/service.js';
import { until } from './support/until.js';

const REPORTED_MS = 15_000;

const cleanup = cleanUpAfterEach();
const { started } = cleanup;
afterEach(() => jest.restoreAllMocks());

const { now } = Date;
const gapsOf = async (service: Service): Promise<Gap[]> =>
  (await service.events({ type: 'stream.gap' })).map(({ payload }) => payload as Gap);

it.each([
  ['all clocks agree', 0, 0],
  ['the clock of the process is 10 s behind that of Redis', -10_000, 0],
  ['the clock of the process is 10 s ahead of that of Redis', 10_000, 0],
  ['the clock of Redis was an hour ahead and was set back', 0, 3_600_000],
])(
  'the changes that a failover takes back are in a gap where %s',
  async (_where, processMs, positionsMs) => {
    const { old, promoted } = await startPair(cleanup);
    const wire = await wireTo(old, cleanup);
    jest.spyOn(Date, 'now').mockImplementation(() => now() + processMs);
    const service = started(await startService({ REDIS_URL: wire.url }));
    const report = async (type: string): Promise<void> => {
      await service.post('/api/threats', { type, source: 's', severity: 'LOW' }).expect(201);
    };
    const [last] = await service.events();
    // Positions never go back, so those after this one are ahead of the time as well.
    if (positionsMs > 0)
      old.cli('xadd', EVENT_LOG, `${now() + positionsMs}-0`, 'event', JSON.stringify(last), 'keys', '');
    await report('kept');
    // The next checks of the log see this one as the last event.
    await sleep(4000);
    await replicated({ old, promoted });
    promoted.cli('replicaof', 'no', 'one');
    for (let n = 0; n < 5; n += 1) {
      await report(`lost${n}`);
      await sleep(300);
    }
    const before = await service.events({ type: 'threat.detected' });
    wire.retarget(promoted.port);
    await until(async () => (await gapsOf(service).catch(() => [])).length > 0, REPORTED_MS, 'the gap');
    const kept = new Set((await service.events({ type: 'threat.detected' })).map(({ id }) => id));
    const lost = before.filter(({ id }) => !kept.has(id)).map(({ timestamp }) => timestamp);
    expect(lost).toHaveLength(5);
    const gaps = await gapsOf(service);
    const open = lost.filter((at) => !gaps.some(({ from, to }) => from <= at && at <= to));
    expect({ open, gaps: open.length > 0 ? gaps : [] }).toEqual({ open: [], gaps: [] });
  },
  60_000,
);
