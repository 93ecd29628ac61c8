/** What may happen to two replicas on one Redis that loses nothing of what it has acknowledged. */
import { sleep } from '../../src/shared/clock.js';
import { SCRIPTS } from '../../src/storage/redis/scripts.js';
import type { Stage } from './stage.js';

export interface Interruption {
  name: string;
  /** How long it lasts, once begun, at least. */
  holdMs: number;
  /**
   * Only the other replica writes policies and keys. Who writes reads them anew each time; one that does so when it is cut off
   * knows from then on that it lacks something, and the others are what is to be looked at.
   */
  bListens?: boolean;
  /** A process ends without having written what it has buffered. */
  kills?: boolean;
  /** Another one is this and more. */
  onlyLong?: boolean;
  begin(stage: Stage): Promise<void> | void;
  end(stage: Stage): Promise<void> | void;
}

const HOUR_MS = 3_600_000;
const SLOW_MS = 50;
/** News takes up to a second: this is more. */
const BEYOND_NEWS_MS = 1500;
const BETWEEN_CUTS_MS = 400;

/** `graceMs` is BRAIN_MAX_STALE_SECONDS; whoever asks a second after it must find every gate closed. */
export function interruptions(graceMs: number): Interruption[] {
  const beyondGraceMs = graceMs + BEYOND_NEWS_MS;
  return [
    {
      name: 'a replica is killed with -9 and started again',
      kills: true,
      holdMs: 300,
      begin: ({ b }) => b.stop('SIGKILL'),
      end: ({ b }) => b.start(),
    },
    {
      name: 'Redis is killed with -9 and started again',
      holdMs: 500,
      begin: async (stage) => {
        stage.redisIsOut();
        await stage.redis.kill();
      },
      end: async (stage) => {
        await stage.redis.run();
        stage.redisIsBack();
      },
    },
    {
      name: 'Redis stands still for longer than the grace',
      holdMs: beyondGraceMs,
      begin: (stage) => {
        stage.redisIsOut();
        stage.redis.freeze();
      },
      end: (stage) => {
        stage.redis.thaw();
        stage.redisIsBack();
      },
    },
    {
      name: 'a replica stands still for longer than news takes, and again for longer than the grace',
      holdMs: beyondGraceMs,
      begin: async ({ b }) => {
        b.freeze();
        await sleep(BEYOND_NEWS_MS);
        b.thaw();
        await sleep(BEYOND_NEWS_MS / 3);
        b.freeze();
      },
      end: ({ b }) => b.thaw(),
    },
    {
      name: 'a replica is cut off for longer than the grace',
      bListens: true,
      onlyLong: true,
      holdMs: beyondGraceMs,
      begin: ({ b }) => b.tear(),
      end: ({ b }) => b.mend(),
    },
    lostAnswers(),
    {
      name: 'a replica is cut off for longer than the grace, and comes back by a slow network',
      bListens: true,
      holdMs: beyondGraceMs,
      begin: ({ b }) => {
        b.tear();
        b.delay(SLOW_MS);
      },
      end: async ({ b }) => {
        b.mend();
        await sleep(BEYOND_NEWS_MS);
        b.delay(0);
      },
    },
    {
      name: 'the network of a replica is silent for longer than the grace, and then goes on, slowly',
      bListens: true,
      holdMs: beyondGraceMs,
      begin: ({ b }) => {
        b.isOut('cut');
        b.wire?.stall();
        b.delay(SLOW_MS);
      },
      end: async ({ b }) => {
        b.wire?.resume();
        b.isBack('cut');
        await sleep(BEYOND_NEWS_MS);
        b.delay(0);
      },
    },
    {
      name: 'the clock of a replica that is cut off is set back by an hour',
      bListens: true,
      holdMs: beyondGraceMs,
      begin: ({ b }) => {
        b.tear();
        b.shift(-HOUR_MS);
      },
      end: async ({ b }) => {
        b.mend();
        await sleep(BEYOND_NEWS_MS / 2);
        b.shift(0);
      },
    },
    {
      name: 'the clock of a replica goes an hour ahead while the other is cut off',
      holdMs: BEYOND_NEWS_MS,
      begin: ({ a, b }) => {
        a.shift(HOUR_MS);
        b.tear();
      },
      end: ({ a, b }) => {
        b.mend();
        a.shift(0);
      },
    },
    {
      name: 'both replicas are restarted one after the other',
      holdMs: 0,
      begin: async ({ b }) => {
        await b.stop('SIGTERM');
        await b.start();
      },
      end: async ({ a }) => {
        await a.stop('SIGTERM');
        await a.start();
      },
    },
    {
      name: 'Redis is full for a while',
      holdMs: BEYOND_NEWS_MS,
      begin: ({ redis }) => redis.cliLater('config', 'set', 'maxmemory', '1'),
      end: ({ redis }) => redis.cliLater('config', 'set', 'maxmemory', '0'),
    },
    stutter(),
  ];
}

/** Continues in turns until it is stopped. */
function inTurns(work: (stage: Stage, turn: number) => Promise<void>): Pick<Interruption, 'begin' | 'end'> {
  let goesOn = false;
  let running: Promise<void> = Promise.resolve();
  const run = async (stage: Stage): Promise<void> => {
    for (let turn = 0; goesOn; turn += 1) await work(stage, turn);
  };
  return {
    begin: (stage) => {
      goesOn = true;
      running = run(stage);
    },
    end: async () => {
      goesOn = false;
      await running;
    },
  };
}

/** Each replica loses answers so rarely that it gets all news in between. */
function lostAnswers(): Interruption {
  const turns = inTurns(async ({ members }, turn) => {
    members[turn % 2].wire?.cutAfter(SCRIPTS.commit.sha);
    await sleep(BETWEEN_CUTS_MS);
  });
  return { name: 'answers of Redis get lost, and the connections with them', holdMs: 2000, ...turns };
}

/** It gets a third of the time, in pieces. */
function stutter(): Interruption {
  const turns = inTurns(async ({ b }) => {
    b.freeze();
    await sleep(80);
    b.thaw();
    await sleep(40);
  });
  return { name: 'a replica is slow in everything', holdMs: 2500, ...turns };
}
