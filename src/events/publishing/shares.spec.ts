import fc from 'fast-check';
import { type Actor, serviceActor } from '../../shared/context.js';
import { type Share, Shares } from './shares.js';

const MOST = 100;
const MOST_BYTES = 10_000;
const actor = (n: number): Actor => ({ id: `key_${n}`, role: 'agent', name: `agent ${n}` });

/** Takes single events until there is no room. */
function fill(shares: Shares, who: Actor | undefined): number {
  let taken = 0;
  while (shares.take(who, 1)) taken += 1;
  return taken;
}

describe('the shares of the buffer', () => {
  it('leave one principal half of it, and the next ones as much as is free', () => {
    const shares = new Shares(MOST, MOST_BYTES);
    expect([1, 2, 3].map((n) => fill(shares, actor(n)))).toEqual([50, 25, 12]);
    expect(shares.events).toBe(87);
  });

  it('leave all of it to the service', () => {
    const shares = new Shares(MOST, MOST_BYTES);
    fill(shares, actor(1));
    expect(fill(shares, undefined)).toBe(50);
    expect(shares.take(serviceActor('policy'), 1)).toBeUndefined();
  });

  it('count bytes in the same way', () => {
    const shares = new Shares(MOST, MOST_BYTES);
    const [one, other, own] = [actor(1), actor(2), undefined].map((who) => shares.take(who, 1) as Share);
    expect(shares.takeBytes(one, 5001)).toBe(false);
    expect(shares.takeBytes(one, 5000)).toBe(true);
    expect(shares.takeBytes(one, 1)).toBe(false);
    expect(shares.takeBytes(other, 2501)).toBe(false);
    expect(shares.takeBytes(other, 2500)).toBe(true);
    expect(shares.takeBytes(own, 2501)).toBe(false);
    expect(shares.takeBytes(own, 2500)).toBe(true);
    shares.release(one, 1, 5000);
    expect(shares.takeBytes(other, 1251)).toBe(false);
    expect(shares.takeBytes(other, 1250)).toBe(true);
  });

  it('are crowded when a principal has used half of what it may use', () => {
    const shares = new Shares(MOST, MOST_BYTES);
    expect(shares.isCrowded(actor(1))).toBe(false);
    const share = shares.take(actor(1), 33) as Share;
    expect(shares.isCrowded(actor(1))).toBe(false);
    shares.take(actor(1), 1);
    expect([1, 2].map((n) => shares.isCrowded(actor(n)))).toEqual([true, false]);
    shares.release(share, 34, 0);
    expect(shares.isCrowded(actor(1))).toBe(false);
  });

  it('always leave room for one more principal, whoever takes and releases what', () => {
    const PRINCIPALS = 5;
    const step = fc.record({
      who: fc.nat(PRINCIPALS - 1),
      events: fc.integer({ min: 1, max: 2 }),
      bytes: fc.nat(200),
      release: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const shares = new Shares(MOST, MOST_BYTES);
        const held: { share: Share; events: number; bytes: number; who: number }[] = [];
        for (const { who, events, bytes, release } of steps) {
          const oldest = release ? held.shift() : undefined;
          if (oldest) shares.release(oldest.share, oldest.events, oldest.bytes);
          const share = shares.take(actor(who), events);
          if (!share) continue;
          if (shares.takeBytes(share, bytes)) held.push({ share, events, bytes, who });
          else shares.release(share, events, 0);
          const of = (n: number): number =>
            held.filter((one) => one.who === n).reduce((sum, one) => sum + one.events, 0);
          const total = held.reduce((sum, one) => sum + one.events, 0);
          expect(shares.events).toBe(total);
          for (let n = 0; n < PRINCIPALS; n += 1) expect(of(n)).toBeLessThanOrEqual(MOST / 2);
          // Each principal stops at the latest when it holds as much as is free.
          expect(MOST - total).toBeGreaterThanOrEqual(Math.floor(MOST / (PRINCIPALS + 1)) - 2);
        }
      }),
    );
  });
});
