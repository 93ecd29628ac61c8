/**
 * What a trim costs for an event: removed or moved into the evidence tier. 5,000 events of decisions, or of threats, are written
 * and then taken in commits of 250, seven times in turns. On Redis the CPU time of the server counts, on the embedded store that
 * of this process, which is the database as well. Also the bytes of an event in each tier.
 */
import { Redis } from 'ioredis';
import { isEvidence, openService, ruleEvaluated, runInContext, threat, threatDetected } from './inside.mjs';

const EVENTS = 5000;
const CHUNK = 250;
const ROUNDS = 7;
const SUBJECTS = 1000;

const { log, events, close } = await openService();
const redis = process.env.REDIS_URL ? new Redis(process.env.REDIS_URL) : undefined;

const decision = (n) => {
  const request = {
    agent_id: `agent-${n % SUBJECTS}`,
    agent_role: 'agent',
    action: 'database.read',
    resource: `database:${n}`,
  };
  const verdict = {
    allowed: false,
    effect: 'deny',
    matched_policy: null,
    matched_rule: null,
    reason: 'No rule allows it',
  };
  return ruleEvaluated(
    { decision_id: `decision-${n}`, policy_revision: 7, asked_by: 'bench', request, verdict },
    0.004,
  );
};
const kinds = { removed: decision, moved: (n) => threatDetected(threat(n % SUBJECTS)) };

async function cpuUs() {
  if (!redis) {
    const { user, system } = process.cpuUsage();
    return user + system;
  }
  const info = await redis.info('cpu');
  const seconds = (name) => Number(new RegExp(`used_cpu_${name}:([\\d.]+)`).exec(info)[1]);
  return (seconds('user') + seconds('sys')) * 1e6;
}

async function usedBytes() {
  return redis ? Number(/used_memory:(\d+)/.exec(await redis.info('memory'))[1]) : Number.NaN;
}

let batches = 0;
async function append(kind) {
  const records = Array.from({ length: EVENTS }, (_, n) =>
    runInContext({ requestId: 'bench', correlationId: `correlation-${batches}-${n}` }, () =>
      events.serialize(kinds[kind](n)),
    ),
  );
  for (let n = 0; n < EVENTS; n += CHUNK) {
    batches += 1;
    await log.append(`trim-${batches}`, records.slice(n, n + CHUNK));
  }
}

async function take(all) {
  const [startedMs, before] = [performance.now(), await cpuUs()];
  for (let taken = 0; taken < all; taken += CHUNK) await log.trimRecent(CHUNK, isEvidence);
  return { ms: performance.now() - startedMs, us: ((await cpuUs()) - before) / all };
}

async function empty() {
  for (;;) if ((await log.trim('999999999999999-0', 1000)).length === 0) return;
}

const rounds = [];
for (let round = 0; round <= ROUNDS; round += 1) {
  const result = {};
  for (const kind of round % 2 === 0 ? ['removed', 'moved'] : ['moved', 'removed']) {
    await empty();
    const start = await usedBytes();
    await append(kind);
    const full = await usedBytes();
    const { us, ms } = await take(EVENTS);
    result[kind] = {
      us,
      ms,
      bytes: (full - start) / EVENTS,
      bytesAfter: ((await usedBytes()) - start) / EVENTS,
    };
  }
  rounds.push(result);
}
process.send(rounds.slice(1));
redis?.disconnect();
await close();
process.exit(0);
