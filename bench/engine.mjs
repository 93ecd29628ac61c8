/**
 * The policy engine against libraries that decide in process: the same rules, the same requests, the decisions checked to
 * agree. `node --expose-gc --no-turbo-inline-js-wasm-calls engine.mjs [sizes]`: without the second flag the compiler of Node 20
 * stops the process when it gives up code into which a call of Cedar was inlined.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { PEERS } from './engine.peers.mjs';
import { newRandom, requestsFor, rulesFor } from './engine.rules.mjs';

const ROOT = join(import.meta.dirname, '..');
const part = (name) => import(join(ROOT, 'build', `${name}.js`));
// The decorators of the shapes want it, as they do in the service.
createRequire(import.meta.url)('reflect-metadata');
const { compile, compileInSlices } = await part('policy/engine/compile');
const { decide } = await part('policy/engine/decide');
const { inSlices } = await part('shared/time-slices');

const SIZES = [10, 100, 1000, 10_000];
/** Of every engine; the slowest get through a few of them in their time. */
const REQUESTS = 20_000;
const ROUND_MS = 300;
const ROUNDS = 5;
/** So many decisions are compared; fewer among many rules, which take the slowest a second each. */
const CHECKED = (size) => Math.max(20, Math.min(200, 200_000 / size));

const policiesOf = (rules) =>
  Array.from({ length: Math.ceil(rules.length / 1000) }, (_, i) => ({
    policy_id: `p${i}`,
    name: `Policy ${i}`,
    version: '1.0.0',
    description: '',
    default_effect: 'deny',
    enabled: true,
    metadata: {},
    revision: 1,
    created_at: 1,
    updated_at: 1,
    created_by: 'bench',
    rules: rules.slice(i * 1000, (i + 1) * 1000),
  }));

/** Decisions a second, each of a request that was never seen before; the rounds of all engines alternate. */
async function rates(engines, requests) {
  const found = new Map([...engines.keys()].map((name) => [name, []]));
  const next = new Map([...engines.keys()].map((name) => [name, 0]));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, decideOne] of engines) {
      const batch = requests(round);
      let done = 0;
      const startedMs = performance.now();
      let spentMs = 0;
      while (spentMs < ROUND_MS && done < batch.length) {
        // The clock is read seldom where decisions are fast.
        const until = Math.min(batch.length, done + (next.get(name) || 1));
        for (; done < until; done += 1) {
          const answer = decideOne(batch[done]);
          if (typeof answer !== 'boolean') await answer;
        }
        spentMs = performance.now() - startedMs;
      }
      next.set(name, Math.max(1, Math.round(done / 50)));
      // The first round warms up.
      if (round > 0) found.get(name).push((done * 1000) / spentMs);
    }
  }
  return new Map([...found].map(([name, values]) => [name, values.sort((a, b) => a - b)[ROUNDS >> 1]]));
}

async function agreement(engines, requests) {
  const [[, ours], ...peers] = engines;
  let allowed = 0;
  for (const request of requests) {
    const answer = ours(request);
    allowed += answer ? 1 : 0;
    for (const [name, decideOne] of peers) {
      if ((await decideOne(request)) !== answer)
        throw new Error(`${name} disagrees on ${JSON.stringify(request)}: we say ${answer}`);
    }
  }
  return allowed / requests.length;
}

async function throughput(size, { newActions }) {
  const rules = rulesFor(size, newRandom(size));
  const snapshot = compile(policiesOf(rules));
  const engines = new Map([['ours', (request) => decide(snapshot, request).allowed]]);
  for (const [name, open] of Object.entries(PEERS)) engines.set(name, await open(rules));
  const random = newRandom(size + 1);
  const allowed = await agreement(engines, requestsFor(rules, CHECKED(size), random, { newActions }));
  const measured = await rates(engines, () => requestsFor(rules, REQUESTS, random, { newActions }));
  return { size, newActions, allowed, perSecond: Object.fromEntries(measured) };
}

function heapMib() {
  for (let i = 0; i < 3; i += 1) globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

async function longestDelay(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await turn();
  await work();
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  return delay.max / 1e6;
}

async function snapshots(size) {
  const policies = policiesOf(rulesFor(size, newRandom(size)));
  for (let i = 0; i < 3; i += 1) compile(policies);
  const before = heapMib();
  const startedMs = performance.now();
  const snapshot = compile(policies);
  const wholeMs = performance.now() - startedMs;
  const mib = heapMib() - before;
  const changed = policies.map((one, i) => (i === 3 ? structuredClone({ ...one, revision: 2 }) : one));
  const changes = Array.from({ length: 15 }, () => {
    const atMs = performance.now();
    compile(changed, { previous: snapshot });
    return performance.now() - atMs;
  }).sort((a, b) => a - b);
  const delaysMs = [];
  for (let i = 0; i < 5; i += 1) delaysMs.push(await longestDelay(() => inSlices(compileInSlices(policies))));
  delaysMs.sort((a, b) => a - b);
  return { size, wholeMs, mib, changeMs: changes[7], delaysMs };
}

const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : SIZES;
// First, while the peers have not yet filled the heap that the collector has to look through.
const snapshot = await snapshots(10_000);
const known = [];
const fresh = [];
for (const size of sizes) {
  known.push(await throughput(size, { newActions: false }));
  fresh.push(await throughput(size, { newActions: true }));
}
const answer = { known, fresh, snapshot };
if (process.send) process.send(answer, () => process.exit(0));
else {
  console.log(JSON.stringify(answer, null, 2));
  process.exit(0);
}
