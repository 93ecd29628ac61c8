import fc from 'fast-check';
import type { NewEvent } from '../../events/event.js';
import type { EventStream } from '../../events/event-stream.js';
import type { Decided } from './decision.events.js';
import type { DecisionsSummed } from './decision-sums.events.js';
import { DecisionSums } from './decision-sums.js';

interface Question {
  asked_by: string;
  agent_id: string;
  action: string;
  allowed: boolean;
}

let next = 0;
function decidedFor({ asked_by, agent_id, action, allowed }: Question): Decided {
  next += 1;
  return {
    decision_id: `d${next}`,
    policy_revision: 1,
    asked_by,
    request: { agent_id, action },
    verdict: {
      allowed,
      effect: allowed ? 'allow' : 'deny',
      matched_rule: allowed ? 'may' : null,
      matched_policy: allowed ? 'p' : null,
      reason: 'r',
      warnings: [],
      requires_audit: false,
    },
  };
}

/** Takes what is published. Events count as written when the test says so. */
class Published {
  readonly events: DecisionsSummed[] = [];
  write: () => void = () => undefined;

  readonly stream = {
    addSumming: () => undefined,
    publish: ({ payload }: NewEvent) => this.events.push(payload as DecisionsSummed),
    whenWritten: () =>
      new Promise<void>((resolve) => {
        this.write = resolve;
      }),
  } as unknown as EventStream;
}

describe('the sums of decisions', () => {
  let published: Published;
  let sums: DecisionSums;
  beforeEach(() => {
    published = new Published();
    sums = new DecisionSums({ mask: ['/agent_id'] }, published.stream);
  });

  const ask = (question: Partial<Question>, times = 1): void => {
    const whole = { asked_by: 'key_1', agent_id: 'a', action: 'x', allowed: false, ...question };
    for (let i = 0; i < times; i += 1) sums.add(decidedFor(whole), 'quota');
  };

  it('have one event for each principal, with an entry for each agent, action, rule and effect', () => {
    ask({}, 3);
    ask({ allowed: true }, 2);
    ask({ asked_by: 'key_2' });
    sums.publish();
    expect(published.events).toMatchObject([
      {
        asked_by: 'key_1',
        reasons: ['quota'],
        count: 5,
        denied: 3,
        entries: [
          { agent_id: '[masked]', action: 'x', effect: 'deny', matched_rule: null, count: 3 },
          { agent_id: '[masked]', action: 'x', effect: 'allow', matched_rule: 'may', count: 2 },
        ],
      },
      { asked_by: 'key_2', count: 1, denied: 1 },
    ]);
    const [{ entries, other }] = published.events;
    expect(entries[0].first_decision_id).not.toBe(entries[1].first_decision_id);
    expect(other).toBeUndefined();
    sums.publish();
    expect(published.events).toHaveLength(2);
  });

  it('explain every decision within their limits, whatever is asked', () => {
    const question = fc.record({
      asked_by: fc.constantFrom('key_1', 'key_2', 'key_3'),
      agent_id: fc.string({ minLength: 1, maxLength: 256 }),
      action: fc.string({ minLength: 1, maxLength: 256 }),
      allowed: fc.boolean(),
    });
    const asked = fc.array(fc.record({ question, times: fc.integer({ min: 1, max: 3 }) }), {
      maxLength: 1500,
      size: 'max',
    });
    fc.assert(
      fc.property(asked, (all) => {
        published.events.length = 0;
        for (const { question: one, times } of all) ask(one, times);
        sums.publish();
        for (const { asked_by, count, denied, entries, other } of published.events) {
          const mine = all.filter((one) => one.question.asked_by === asked_by);
          const times = (some: typeof mine): number => some.reduce((sum, one) => sum + one.times, 0);
          expect(count).toBe(times(mine));
          expect(denied).toBe(times(mine.filter((one) => !one.question.allowed)));
          expect(entries.reduce((sum, one) => sum + one.count, other?.count ?? 0)).toBe(count);
          expect(entries.length).toBeLessThanOrEqual(1000);
          expect(JSON.stringify(published.events[0]).length).toBeLessThan(256 * 1024);
        }
        const total = published.events.reduce((sum, { count }) => sum + count, 0);
        expect(total).toBe(all.reduce((sum, one) => sum + one.times, 0));
      }),
      { numRuns: 30 },
    );
  });

  it('put what has no room into `other`', () => {
    for (let n = 0; n < 3000; n += 1) ask({ action: `action-${n}` });
    sums.publish();
    const [{ count, entries, other }] = published.events;
    expect(entries.length).toBeGreaterThan(100);
    expect([count, other]).toEqual([
      3000,
      { count: 3000 - entries.length, denied: 3000 - entries.length, first_decision_id: expect.any(String) },
    ]);
  });

  it('go on growing while an earlier sum is not in the log yet', async () => {
    jest.useFakeTimers();
    try {
      sums.onModuleInit();
      ask({});
      await jest.advanceTimersByTimeAsync(1000);
      expect(published.events).toHaveLength(1);
      ask({}, 2);
      await jest.advanceTimersByTimeAsync(60_000);
      expect(published.events).toHaveLength(1);
      expect(sums.since).toBeLessThan(Number.POSITIVE_INFINITY);
      published.write();
      ask({}, 2);
      await jest.advanceTimersByTimeAsync(1000);
      expect(published.events.map(({ count }) => count)).toEqual([1, 4]);
      expect(sums.since).toBe(Number.POSITIVE_INFINITY);
    } finally {
      sums.onModuleDestroy();
      jest.useRealTimers();
    }
  });
});
