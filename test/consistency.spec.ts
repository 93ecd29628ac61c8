/**
 * Many clients of several replicas, and one fault after another. All answers are recorded, and then checked by the rules in
 * faults/checker.ts and by the state and the log that are read back. Real processes, a real Redis.
 * `npm run test:faults` runs the long form.
 */
import { sleep } from '../src/shared/clock.js';
import { check, report } from './faults/checker.js';
import { Crowd } from './faults/crowd.js';
import { Failover } from './faults/failover.js';
import { type History, isDone, ofKind } from './faults/history.js';
import { interruptions } from './faults/interruptions.js';
import { Member } from './faults/member.js';
import { gapsOf, readBack } from './faults/read-back.js';
import { recovered, Stage } from './faults/stage.js';
import { LONG } from './support/effort.js';
import { ALWAYS } from './support/redis-server.js';
import { until } from './support/until.js';

const ROUNDS = LONG ? 5 : 1;
const GRACE_SECONDS = LONG ? 3 : 2;
const GRACE_MS = GRACE_SECONDS * 1000;
/** Clients work before the fault, so that it interrupts them, and after it, so that they see its effects. */
const BEFORE_MS = LONG ? 2000 : 500;
const AFTER_MS = LONG ? 3000 : 900;
/** How long changes are written to a master whose replica gets nothing. */
const ISOLATED_MS = 2500;
const FAILOVERS = LONG ? 5 : 1;
/** Kills of the service on the embedded store. */
const QUIET_KILLS = LONG ? 50 : 4;
const BUSY_KILLS = LONG ? 20 : 2;
const KILLS = QUIET_KILLS + BUSY_KILLS;
/** On Redis the record of a killed process lasts eight seconds, and there is a check every two. */
const TOLD_MS = 15_000;
const LIMIT_MS = LONG ? 900_000 : 60_000;

const INTERRUPTIONS = interruptions(GRACE_MS).filter(({ onlyLong }) => LONG || !onlyLong);

/** A history with few operations proves nothing. */
function expectWork(history: History): void {
  expect(ofKind(history, 'write').filter(isDone).length).toBeGreaterThan(10);
  expect(ofKind(history, 'decide').filter(isDone).length).toBeGreaterThan(50);
  expect(ofKind(history, 'make').filter(isDone).length).toBeGreaterThan(10);
  expect(ofKind(history, 'revoke').filter(isDone).length).toBeGreaterThan(0);
}

/** A gap reports the events that a killed process had not written, after a while. */
async function told(member: Member, kills: number): Promise<void> {
  const gaps = async (): Promise<number> =>
    (await gapsOf(member)).filter(({ reason }) => reason === 'unclean_stop').length;
  await until(async () => (await gaps()) >= kills, TOLD_MS, `a gap for each of ${kills} kills`);
}

describe('the answers of two replicas on one Redis are consistent', () => {
  let stage: Stage;
  let histories = 0;
  let kills = 0;

  beforeAll(async () => {
    stage = await Stage.start(ALWAYS, { BRAIN_MAX_STALE_SECONDS: String(GRACE_SECONDS) });
  }, 60_000);
  afterAll(() => stage.stop());

  it.each(INTERRUPTIONS)(
    'when $name',
    async (fault) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        histories += 1;
        const crowd = new Crowd(stage.members, {
          prefix: `h${histories}`,
          graceMs: GRACE_MS,
          writers: fault.bListens ? [stage.a] : undefined,
          demanding: round % 2 === 1,
        });
        await crowd.come();
        await sleep(BEFORE_MS);
        await fault.begin(stage);
        await sleep(fault.holdMs);
        await fault.end(stage);
        await stage.recovered();
        await sleep(AFTER_MS);
        const history = await crowd.leave();
        if (fault.kills) kills += 1;
        await told(stage.a, kills);
        const found = await readBack(stage.a, crowd.policies, crowd.since);
        expectWork(history);
        expect(report(check(history, found))).toEqual([]);
      }
    },
    LIMIT_MS,
  );
});

describe('the answers of replicas during a failover of Redis', () => {
  it.each(Array.from({ length: FAILOVERS }, (_, i) => i + 1))(
    'are consistent with BRAIN_REDIS_WAIT=1 and BRAIN_DECISIONS=durable, run %d',
    async (time) => {
      const settings = { BRAIN_DECISIONS: 'durable', BRAIN_MAX_STALE_SECONDS: String(GRACE_SECONDS) };
      const failover = await Failover.start(settings);
      try {
        const options = { prefix: `f${time}`, graceMs: GRACE_MS, durable: true };
        const crowd = new Crowd(failover.members, options);
        await crowd.come();
        await sleep(BEFORE_MS);
        failover.isolate();
        await sleep(ISOLATED_MS);
        crowd.rolledBackAtMs = await failover.promote();
        await sleep(AFTER_MS);
        const history = await crowd.leave();
        const found = await readBack(failover.members[0], crowd.policies, crowd.since);
        expectWork(history);
        const notReplicated = history.operations.filter(({ code }) => code === 'store_not_replicated');
        expect(notReplicated.length).toBeGreaterThan(2);
        expect(report(check(history, found))).toEqual([]);
      } finally {
        await failover.stop();
      }
    },
    LIMIT_MS,
  );
});

describe('the answers of a service on the embedded store', () => {
  it(
    `are consistent when it is killed with -9 ${KILLS} times, each time after it has answered a repetition`,
    async () => {
      const member = new Member('a', { BRAIN_TRUST_PROXY: '1' });
      const crowd = new Crowd([member], { prefix: 'e', graceMs: GRACE_MS });
      const kill = async (): Promise<void> => {
        await crowd.repeatUntil(member, () => member.stop('SIGKILL'));
        await member.start();
      };
      try {
        await member.start();
        // With nothing else to do it answers soonest, and with much to do there is most to lose.
        for (let i = 0; i < QUIET_KILLS; i += 1) await kill();
        await crowd.come();
        for (let i = 0; i < BUSY_KILLS; i += 1) {
          await sleep(BEFORE_MS);
          await kill();
        }
        await recovered(member);
        const history = await crowd.leave();
        await told(member, KILLS);
        const found = await readBack(member, crowd.policies, crowd.since);
        expectWork(history);
        expect(report(check(history, found))).toEqual([]);
      } finally {
        await member.remove();
      }
    },
    LIMIT_MS,
  );
});
