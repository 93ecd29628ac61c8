/** What is lost before it is in the log: it is reported, also if its gap has to wait or is lost as well. */
import { SwitchableLog } from '../../../test/support/switchable-log.js';
import { tick } from '../../../test/support/ticks.js';
import { nowSeconds, sleep } from '../../shared/clock.js';
import { Logger } from '../../shared/logger.js';
import type { EventRecord } from '../../storage/event-log.js';
import type { Tx } from '../../storage/store.js';
import { EventStream } from '../event-stream.js';
import { type StreamGap, streamGap } from '../log.events.js';

const HOUR_AGO = nowSeconds() - 3600;
const gapFrom = (from: number, more: Partial<StreamGap> = {}): ReturnType<typeof streamGap> =>
  streamGap({ reason: 'rollback', from, to: nowSeconds(), detected_at: 1, ...more });

let log: SwitchableLog;
let stream: EventStream;
beforeEach(() => {
  log = new SwitchableLog();
  stream = new EventStream(log, new Logger({ level: 'silent', format: 'json' }));
});
afterEach(() => jest.restoreAllMocks());

/** A transaction that commits, but whose event the log refuses. */
function refuse(event: Parameters<EventStream['publish']>[0]): void {
  const tx = { record: (record: EventRecord) => record.refused?.('WRONGTYPE') } as unknown as Tx;
  stream.publish(event, tx);
}

const gaps = (): StreamGap[] =>
  log.written.filter(({ type }) => type === 'stream.gap').map(({ payload }) => payload as StreamGap);
const isCovered = (time: number): boolean => gaps().some(({ from, to }) => from <= time && time <= to);
/** What waits is sent, and stays unanswered. */
const sendInVain = (): Promise<void> => sleep(20);

describe('until a loss is in a gap in the log', () => {
  it('the process stops as one that has events left, and writes the gap if it still can', async () => {
    log.mode = 'fails';
    refuse(tick(1, 'agent', ''));
    expect(await stream.close(100)).toBe(false);
    log.mode = 'works';
    expect(await stream.close()).toBe(true);
    expect(gaps()).toMatchObject([{ reason: 'refused', counts: { 'test.tick': 1 } }]);
  });

  it('the log counts as complete only until that loss', async () => {
    log.mode = 'fails';
    refuse(tick(1, 'agent', ''));
    const lostAt = nowSeconds();
    await sleep(20);
    expect(stream.completeUntil()).toBeLessThanOrEqual(lostAt);
    log.mode = 'works';
    await stream.flush();
    expect(isCovered(stream.completeUntil())).toBe(false);
  });

  it('it counts as complete only until the oldest event that waits, also behind a gap that is sent first', async () => {
    log.mode = 'hangs';
    stream.publish(tick(1, 'agent', ''));
    const published = nowSeconds();
    await sendInVain();
    refuse(tick(2, 'agent', ''));
    log.mode = 'full';
    log.fail();
    await sleep(100);
    // The gap is in front of the first batch now, and it is younger.
    expect(stream.completeUntil()).toBeLessThanOrEqual(published);
    log.mode = 'works';
    await stream.flush();
    expect(log.written.map(({ type }) => type)).toEqual(['stream.gap', 'test.tick']);
  });

  it('it counts as complete only until the begin of a gap that waits', async () => {
    log.mode = 'fails';
    stream.publish(tick(1, 'agent', ''));
    stream.publish(gapFrom(HOUR_AGO));
    expect(stream.completeUntil()).toBe(HOUR_AGO);
    log.mode = 'full';
    await sleep(100);
    expect(stream.completeUntil()).toBe(HOUR_AGO);
    log.mode = 'works';
    await stream.flush();
    expect(stream.completeUntil()).toBeGreaterThan(HOUR_AGO + 3600);
  });

  it('it counts as complete only until the oldest event, also if the clock was set back', () => {
    const { now } = Date;
    jest.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000);
    stream.publish(tick(1, 'agent', ''));
    jest.restoreAllMocks();
    const back = nowSeconds();
    stream.publish(tick(2, 'agent', ''));
    jest.spyOn(Date, 'now').mockImplementation(() => now() + 10_000);
    const complete = stream.completeUntil();
    expect(complete).toBeGreaterThanOrEqual(back);
    expect(complete).toBeLessThan(back + 9);
  });
});

describe('a gap', () => {
  it('is not lost in a full buffer', async () => {
    log.mode = 'fails';
    for (let n = 0; n < 50_000; n += 1) stream.publish(tick(n, 'agent', ''));
    stream.publish(gapFrom(HOUR_AGO));
    expect(stream.lost).toBe(0);
    log.mode = 'works';
    await stream.flush();
    expect(gaps()).toEqual([{ reason: 'rollback', from: HOUR_AGO, to: expect.any(Number), detected_at: 1 }]);
    expect(log.written).toHaveLength(50_001);
  });

  it('that the log refuses in a transaction is written as it was', async () => {
    refuse(gapFrom(HOUR_AGO, { reason: 'unclean_stop' }));
    expect(stream.lost).toBe(0);
    await stream.flush();
    expect(gaps()).toEqual([
      { reason: 'unclean_stop', from: HOUR_AGO, to: expect.any(Number), detected_at: 1 },
    ]);
  });

  it('that is not answered until the log forgets it is written again', async () => {
    log.mode = 'full';
    stream.publish(gapFrom(HOUR_AGO));
    await sendInVain();
    log.batchKnownMs = 0;
    await sleep(100);
    log.batchKnownMs = Number.POSITIVE_INFINITY;
    log.mode = 'works';
    await stream.flush();
    expect(gaps()).toMatchObject([{ reason: 'rollback', from: HOUR_AGO }]);
  });

  it('becomes one with others of its reason that wait, and covers all of them', async () => {
    log.mode = 'fails';
    for (const from of [HOUR_AGO, HOUR_AGO - 10, HOUR_AGO + 10])
      stream.publish(gapFrom(from, { to: from + 1, counts: { 'test.tick': 2, [`from.${from}`]: 1 } }));
    stream.publish(gapFrom(HOUR_AGO, { reason: 'overflow', to: HOUR_AGO + 2 }));
    log.mode = 'works';
    await stream.flush();
    const [rollback, overflow] = gaps();
    expect(rollback).toMatchObject({ reason: 'rollback', from: HOUR_AGO - 10, to: HOUR_AGO + 11 });
    expect(Object.values(rollback.counts ?? {}).sort()).toEqual([1, 1, 1, 6]);
    expect(overflow).toMatchObject({ reason: 'overflow', from: HOUR_AGO, to: HOUR_AGO + 2 });
    expect(overflow.counts).toBeUndefined();
  });

  it('waits with all that came later in one batch, if the log answers but takes nothing', async () => {
    log.mode = 'full';
    for (let n = 0; n < 5; n += 1) {
      refuse(tick(n, 'agent', ''));
      await sleep(60);
    }
    log.mode = 'works';
    await stream.flush();
    expect(gaps().map(({ counts }) => counts)).toEqual([{ 'test.tick': 1 }, { 'test.tick': 4 }]);
  });
});
