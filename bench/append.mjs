/**
 * How fast buffered events reach the log: published all at once, and then flushed. On Redis against a bare loop in the
 * same process, which sends strings that were made before, one script call for a hundred events, and writes the same.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { digest, openService, runInContext, threat, threatDetected } from './inside.mjs';

/** They fit into the buffer. */
const EVENTS = 20_000;
const ROUNDS = 7;
const PER_CALL = 100;
const SUBJECTS = 1000;

/** ARGV: an event, and the digests under which it is found, in turns. Members have the form that the service gives them. */
const BARE = `
for i = 1, #ARGV, 2 do
  local id = redis.call('XADD', KEYS[1], '*', 'event', ARGV[i])
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local place = string.rep('0', 15 - #ms) .. ms .. '-' .. string.rep('0', 15 - #seq) .. seq
  for mark in string.gmatch(ARGV[i + 1], '%S+') do redis.call('ZADD', KEYS[2] .. mark, '0', place) end
end`;

const subjects = Array.from({ length: SUBJECTS }, (_, n) => threat(n));
const { events, log, follower, close } = await openService();

/** Each in a request of its own, and so under a correlation of its own. */
function eachEvent(round, use) {
  for (let n = 0; n < EVENTS; n += 1) {
    const context = { requestId: 'bench', correlationId: `correlation-${round}-${n}` };
    runInContext(context, () => use(threatDetected(subjects[n % SUBJECTS])));
  }
}

/** From an idle service on: nothing of the round before is still on its way to those who follow. */
async function perSecond(work) {
  await settled();
  const startedMs = performance.now();
  await work();
  return (EVENTS * 1000) / (performance.now() - startedMs);
}

async function settled() {
  const { last } = await log.bounds();
  while (last !== null && follower.place?.position !== last) await sleep(10);
  globalThis.gc();
}

function ours(round) {
  return perSecond(() => {
    eachEvent(round, (event) => events.publish(event));
    return events.flush();
  });
}

async function bareLoop(redis) {
  const sha = await redis.script('LOAD', BARE);
  return async (round) => {
    const calls = [];
    const args = [];
    eachEvent(round, (event) => {
      const { json, keys } = events.serialize(event);
      args.push(json, keys.map(digest).join(' '));
      if (args.length === 2 * PER_CALL) calls.push(args.splice(0));
    });
    return perSecond(async () => {
      for (const call of calls)
        await redis.evalsha(sha, 2, 'bare:events:stream', 'bare:sys:events:', ...call);
    });
  };
}

const redis = process.env.REDIS_URL ? new Redis(process.env.REDIS_URL) : undefined;
const bare = redis && (await bareLoop(redis));
const rounds = [];
for (let round = 0; round <= ROUNDS; round += 1) {
  // Who goes first changes; the first round is the warm-up.
  const first = round % 2 === 0 ? await ours(round) : undefined;
  const theirs = await bare?.(round);
  rounds.push({ ours: first ?? (await ours(round)), theirs });
}
if (events.lost > 0) throw new Error(`${events.lost} events were lost`);
process.send(rounds.slice(1));
redis?.disconnect();
await close();
process.exit(0);
