import { OwnEvents } from './own-events.js';

/** No event was handed to a transaction since then. */
const NEVER = Number.POSITIVE_INFINITY;

describe('what was written after a position', () => {
  it('is as old as the oldest event of the batches that end after it', () => {
    const ownEvents = new OwnEvents();
    ownEvents.add('10000-0', 9);
    ownEvents.add('20000-0', 3);
    ownEvents.add('30000-0', 29);
    expect(ownEvents.oldestAfter('30000-0', NEVER)).toBeUndefined();
    expect(ownEvents.oldestAfter('20000-0', NEVER)).toBe(29);
    expect(ownEvents.oldestAfter('19999-5', NEVER)).toBe(3);
  });

  it('stays correct when old batches are merged', () => {
    const ownEvents = new OwnEvents();
    for (let n = 1; n <= 5000; n += 1) ownEvents.add(`${n * 1000}-0`, n === 7 ? 0.5 : n);
    for (let n = 1; n < 5000; n += 1) {
      const oldest = n < 7 ? 0.5 : n + 1;
      expect(ownEvents.oldestAfter(`${n * 1000}-0`, NEVER)).toBeLessThanOrEqual(oldest);
    }
    expect(ownEvents.oldestAfter('4500000-0', NEVER)).toBe(4501);
  });

  it('is no older than half a second of writes that do not pause', () => {
    const ownEvents = new OwnEvents();
    for (let ms = 0; ms < 60_000; ms += 5) ownEvents.add(`${ms}-0`, ms / 1000);
    expect(ownEvents.oldestAfter('59000-0', NEVER)).toBeGreaterThan(58.4);
    expect(ownEvents.oldestAfter('59000-0', NEVER)).toBeLessThanOrEqual(59.005);
  });

  it('counts each commit by its position, in whatever order they are answered and whatever their clock says', () => {
    const ownEvents = new OwnEvents();
    ownEvents.add('20000-1', 9.9);
    ownEvents.add('20000-0', 9.8);
    expect(ownEvents.oldestAfter('20000-0', NEVER)).toBe(9.8);
    expect(ownEvents.oldestAfter('20000-1', NEVER)).toBeUndefined();
    // A new master whose clock is behind.
    ownEvents.add('15000-0', 10.5);
    expect(ownEvents.oldestAfter('20000-0', NEVER)).toBe(9.8);
    expect(ownEvents.oldestAfter('14000-0', NEVER)).toBe(9.8);
  });

  it('may be an event whose commit is not answered', () => {
    const ownEvents = new OwnEvents();
    ownEvents.noteTransactionEvent(100);
    expect(ownEvents.oldestAfter('103000-0', 101)).toBeUndefined();
    expect(ownEvents.oldestAfter('101500-0', 99.5)).toBe(100);
  });
});
