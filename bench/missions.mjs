/** Missions at service level: how many a second, how soon they begin, and what waiting ones cost. */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { median } from './compare.mjs';
import { cpuSeconds, newStore, startWorker, stop } from './processes.mjs';
import { figure, range, row } from './table.mjs';

const ROUND_MS = 2000;
const ROUNDS = 7;
/** Until the code of both is compiled as it stays. */
const WARM_UPS = 3;
/** The same for both. */
const CONCURRENCY = { BRAIN_MISSIONS_CONCURRENCY: '50' };
const WAITING = 10_000;
const IDLE_MS = 10_000;
const BEGINNINGS = 100;
const SETTLE_MS = 5000;

async function start(script, settings) {
  const worker = startWorker(script, settings);
  await worker.ready();
  return worker;
}

function spread(values) {
  return { ratio: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** After a warm-up they take turns; only one has something to do at a time. */
async function rounds(workers) {
  const results = workers.map(() => []);
  for (let round = 0; round < WARM_UPS + ROUNDS; round += 1) {
    for (const [i, worker] of workers.entries()) {
      const result = await worker.send({ run: ROUND_MS });
      if (round >= WARM_UPS) results[i].push(result);
    }
  }
  return results;
}

async function throughput() {
  for (const kind of ['embedded', 'Redis']) {
    const store = await newStore(kind, { durable: true });
    const settings = { ...store.settings, ...CONCURRENCY };
    const scripts = ['missions.inside.mjs', ...(kind === 'Redis' ? ['missions.bullmq.mjs'] : [])];
    const workers = await Promise.all(scripts.map((script) => start(script, settings)));
    const [ours, theirs] = await rounds(workers);
    await Promise.all(workers.map(stop));
    await store.end();
    const rate = spread(ours.map(({ perSecond }) => perSecond));
    const cpu = median(ours.map(({ cpuUs }) => cpuUs));
    if (!theirs) {
      const measured = `${range(rate)}; ${figure(cpu)} µs of CPU each`;
      row('Missions of one step, embedded, per second', rate, measured, '≥ 150', rate.ratio >= 150);
      continue;
    }
    const result = spread(ours.map(({ perSecond }, i) => perSecond / theirs[i].perSecond));
    const cpus = `CPU of the process ${figure(cpu)} against ${figure(median(theirs.map(({ cpuUs }) => cpuUs)))} µs`;
    const rates = `${figure(rate.ratio)}/s against ${figure(median(theirs.map(({ perSecond }) => perSecond)))}/s`;
    const measured = `${range(result)}; ${rates}; ${cpus}`;
    row('Missions of one step, Redis, against bare BullMQ', result, measured, '≥ 0.2', result.ratio >= 0.2);
  }
}

const rssMib = ({ child }) => Number(execFileSync('ps', ['-o', 'rss=', '-p', child.pid])) / 1024;

async function redisMib({ settings }) {
  const redis = new Redis(settings.REDIS_URL);
  const [, bytes] = /used_memory:(\d+)/.exec(await redis.info('memory'));
  redis.disconnect();
  return Number(bytes) / 2 ** 20;
}

/** Two processes side by side, each on a store of its own, one of which is full of missions that wait. */
async function idle() {
  for (const kind of ['embedded', 'Redis']) {
    const stores = await Promise.all([newStore(kind), newStore(kind)]);
    const filler = await start('missions.inside.mjs', stores[1].settings);
    await filler.send({ fill: WAITING });
    await stop(filler);
    const workers = await Promise.all(stores.map(({ settings }) => start('missions.inside.mjs', settings)));
    await sleep(SETTLE_MS);
    const before = workers.map(cpuSeconds);
    await sleep(IDLE_MS);
    const [none, many] = workers.map((worker, i) => ({
      cpuMs: ((cpuSeconds(worker) - before[i]) * 1e6) / IDLE_MS,
      rss: rssMib(worker),
    }));
    if (kind === 'Redis') {
      const [empty, full] = await Promise.all(stores.map(redisMib));
      const what = `${WAITING} waiting missions, memory of Redis, their events included`;
      row(what, full - empty, `${figure(full - empty)} MiB`, '', undefined);
    }
    await Promise.all(workers.map(stop));
    for (const store of stores) await store.end();
    const cpu = `${figure(many.cpuMs)} ms a second against ${figure(none.cpuMs)} ms without them`;
    const met = many.cpuMs - none.cpuMs < 5;
    row(`${WAITING} waiting missions, ${kind}, CPU`, { none, many }, cpu, '< 5 ms/s more', met);
    const mib = many.rss - none.rss;
    const memory = `${figure(mib)} MiB (${figure(many.rss)} against ${figure(none.rss)})`;
    row(`${WAITING} waiting missions, ${kind}, memory of the process`, mib, memory, '< 60 MiB', mib < 60);
  }
}

async function beginnings() {
  for (const kind of ['embedded', 'Redis']) {
    const store = await newStore(kind);
    const worker = await start('missions.inside.mjs', store.settings);
    const { p50Ms, p99Ms } = await worker.send({ begin: BEGINNINGS });
    const measured = `p50 ${figure(p50Ms)} ms, p99 ${figure(p99Ms)} ms`;
    row(`From execute to RUNNING, ${kind}`, { p50Ms, p99Ms }, measured, '< 20 ms', p50Ms < 20);
    await stop(worker);
    await store.end();
  }
  const store = await newStore('Redis');
  const alone = { BRAIN_MISSIONS_CONCURRENCY: '1', BRAIN_HTTP_ALLOW_PRIVATE: 'true' };
  const accepts = await start('missions.inside.mjs', { ...store.settings, ...alone });
  await accepts.send({ occupy: true });
  const runs = await start('missions.inside.mjs', store.settings);
  const { p50Ms, p99Ms } = await accepts.send({ begin: BEGINNINGS });
  const measured = `p50 ${figure(p50Ms)} ms, p99 ${figure(p99Ms)} ms`;
  row('From execute to RUNNING on another replica', { p50Ms, p99Ms }, measured, '< 1500 ms', p50Ms < 1500);
  await Promise.all([accepts, runs].map(stop));
  await store.end();
}

export async function missions() {
  await throughput();
  await beginnings();
  await idle();
}
