import { silentLogger } from '../../../test/support/logs.js';
import { type OpenStore, openStore } from '../../../test/support/open-store.js';
import { sleep } from '../../shared/clock.js';
import type { EmbeddedEventLog } from '../../storage/embedded/embedded-event-log.js';
import { LOG_END, splitPosition } from '../../storage/event-log.js';
import type { Collection } from '../../storage/store.js';
import { EventStream } from '../event-stream.js';
import { GapDetector } from './gap-detector.js';

const logger = silentLogger();

describe('GapDetector', () => {
  let opened: OpenStore;

  beforeEach(async () => {
    opened = await openStore();
  });
  afterEach(() => opened.close());

  const open = () => {
    const { db, log, store } = opened;
    const stream = new EventStream(log, logger);
    return {
      db,
      log,
      stream,
      store,
      keeper: new GapDetector(store, log, stream, logger, { maxStaleSeconds: 30 }),
    };
  };
  const restart = async () => {
    opened = await opened.reopen();
    return open();
  };
  const gaps = async (log: EmbeddedEventLog): Promise<Record<string, unknown>[]> =>
    (await log.read({ order: 'asc', limit: 100 })).map(
      ({ json }) => (JSON.parse(json) as { payload: Record<string, unknown> }).payload,
    );

  /** Until it was noticed events may have been acknowledged that are gone, so the gap ends behind the last that was seen. */
  const expectToldOnce = (told: Record<string, unknown>[], lost: string): void => {
    const at = Number(lost.split('-')[0]) / 1000;
    expect(told.map(({ reason }) => reason)).toEqual(['rollback']);
    const { from, to } = told[0] as { from: number; to: number };
    expect([from <= at, at <= to]).toEqual([true, true]);
  };

  it('reports an unclean stop once, and a clean stop never', async () => {
    const first = open();
    first.keeper.start();
    await sleep(200);
    // The process ends here: nothing deletes its record.
    await first.keeper.stop(false);
    const second = await restart();
    second.keeper.start();
    await sleep(200);
    expect(await gaps(second.log)).toEqual([
      expect.objectContaining({ reason: 'unclean_stop', from: expect.any(Number), to: expect.any(Number) }),
    ]);
    await second.keeper.stop(true);
    const third = await restart();
    third.keeper.start();
    await sleep(200);
    expect(await gaps(third.log)).toHaveLength(1);
    await third.keeper.stop(true);
  });

  it('ends the gap of an unclean stop at the last time at which the process can have been alive', async () => {
    const first = open();
    first.keeper.start();
    await sleep(200);
    const died = Date.now() / 1000;
    await first.keeper.stop(false);
    await sleep(7000);
    const found = Date.now() / 1000;
    const second = await restart();
    second.keeper.start();
    await sleep(200);
    const [{ from, to }] = (await gaps(second.log)) as { from: number; to: number }[];
    expect([from <= died, died <= to, to < found]).toEqual([true, true, true]);
    await second.keeper.stop(true);
  });

  it('reports the whole life of a process whose record an older release wrote', async () => {
    const { store, log, keeper } = open();
    const started = Date.now() / 1000 - 100;
    const older: Collection<{ id: string; started_at: number; seen_at: number }> = {
      ...{ name: 'processes', item: 'process', version: 2, indexVersion: 1 },
      id: ({ id }) => id,
      order: ({ started_at }) => started_at,
    };
    const record = { id: 'older', started_at: started, seen_at: started + 50 };
    await store.transaction((tx) => tx.insert(older, record));
    keeper.start();
    await sleep(200);
    const [{ from, to }] = (await gaps(log)) as { from: number; to: number }[];
    expect([from, to >= started + 100]).toEqual([started, true]);
    await keeper.stop(true);
  });

  it('reports that the last events of the log are gone', async () => {
    const { db, log, stream, keeper } = open();
    const last = await log.append('batch-1', [
      { json: '{"payload":{"n":1},"meta":{"correlation_id":null}}', keys: [] },
    ]);
    keeper.start();
    await sleep(200);
    // What a failover does to a log that was not replicated.
    await db.commit(() => db.log.removeSync(splitPosition(last)));
    await sleep(2500);
    await stream.flush();
    expectToldOnce(await gaps(log), last);
    await keeper.stop(true);
  });

  it('reports what another reader missed, even if the first report fails', async () => {
    const { db, log, stream, store, keeper } = open();
    const event = { json: '{"payload":{"n":1},"meta":{"correlation_id":null}}', keys: [] };
    const first = await log.append('batch-1', [event]);
    keeper.start();
    await sleep(200);
    // Written and lost between two checks.
    const last = await log.append('batch-2', [event]);
    await db.commit(() => db.log.removeSync(splitPosition(last)));
    keeper.missed({ reason: 'rollback', missing: 'any', from: first, to: last, next: first });
    jest.spyOn(store, 'acquire').mockRejectedValueOnce(new Error('the store is away'));
    await sleep(4500);
    await stream.flush();
    expectToldOnce((await gaps(log)).slice(1), last);
    await keeper.stop(true);
  });

  it('does not report a trim as a rollback', async () => {
    const { log, stream, keeper } = open();
    await log.append('batch-1', [{ json: '{"payload":{"n":1},"meta":{"correlation_id":null}}', keys: [] }]);
    keeper.start();
    await sleep(200);
    await log.trim(LOG_END, 10);
    await sleep(2500);
    await stream.flush();
    expect(await gaps(log)).toEqual([]);
    await keeper.stop(true);
  });
});
