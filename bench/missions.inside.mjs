/** Missions at service level, in a process of their own: what the service does with them, without HTTP. */
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { openService } from './inside.mjs';

const AT_ONCE = 50;
const PAUSE_MS = 20;
const DAY_SECONDS = 86_400;
const asker = {
  id: 'admin',
  role: 'admin',
  mayDelegate: true,
  mayReadAll: true,
  seesSecrets: true,
  speaksFor: () => true,
};
const wait = (seconds) => ({ name: 'Bench', steps: [{ name: 'rest', kind: 'wait', params: { seconds } }] });

const { missions, store, emitter, close } = await openService();
process.once('SIGTERM', () => close().finally(() => process.exit()));
const ended = new Map();
emitter.on('mission.status_changed', ({ payload }) => {
  if (payload.new_status === 'COMPLETED') ended.get(payload.mission_id)?.();
});

async function lanes(isOver, work) {
  const lane = async () => {
    while (!isOver()) await work();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

/** Made, executed, completed; and its last event was handed to a listener. */
async function mission() {
  const { id } = await missions.create(wait(0), asker);
  const over = new Promise((resolve) => ended.set(id, resolve));
  await missions.execute(id, asker);
  await over;
  ended.delete(id);
}

async function run(ms) {
  const from = process.cpuUsage();
  const startedMs = performance.now();
  let count = 0;
  await lanes(
    () => performance.now() - startedMs > ms,
    async () => {
      await mission();
      count += 1;
    },
  );
  const { user, system } = process.cpuUsage(from);
  return { perSecond: (count * 1000) / (performance.now() - startedMs), cpuUs: (user + system) / count };
}

/** Missions that wait in their step until tomorrow. */
async function fill(count) {
  let made = 0;
  await lanes(
    () => made >= count,
    async () => {
      made += 1;
      const { id } = await missions.create(wait(DAY_SECONDS), asker);
      await missions.execute(id, asker);
    },
  );
  while ((await missions.stats()).by_status.RUNNING < count) await sleep(PAUSE_MS);
  return {};
}

/** From `execute` until the mission is RUNNING, by the times in the mission. One mission after the other. */
async function begin(count) {
  const ms = [];
  while (ms.length < count) {
    const { id } = await missions.create(wait(DAY_SECONDS), asker);
    const fromMs = Date.now();
    await missions.execute(id, asker);
    for (;;) {
      const { started_at } = await missions.get(id, asker);
      if (started_at !== null) {
        ms.push(started_at * 1000 - fromMs);
        break;
      }
      await sleep(PAUSE_MS);
    }
    // A random pause, so that the calls do not follow the polls of the other replica.
    await sleep(PAUSE_MS + Math.random() * 500);
  }
  ms.sort((a, b) => a - b);
  return { p50Ms: ms[ms.length >> 1], p99Ms: ms[Math.floor(ms.length * 0.99)] };
}

/** Its only place is taken by a request that is never answered: what it accepts is for others to run. */
async function occupy() {
  let arrived;
  const asked = new Promise((resolve) => {
    arrived = resolve;
  });
  const server = createServer(() => arrived()).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const params = { url: `http://127.0.0.1:${server.address().port}/` };
  const step = { name: 'hang', kind: 'http', params, timeout_seconds: 3600 };
  const { id } = await missions.create({ name: 'Hangs', steps: [step] }, asker);
  await missions.execute(id, asker);
  await asked;
  return {};
}

const jobs = { run, fill, begin, occupy };
process.on('message', async (job) => {
  try {
    const [[name, argument]] = Object.entries(job);
    process.send(await jobs[name](argument));
  } catch (error) {
    process.send({ error: String(error.stack) });
  }
});
process.send({ kind: store.kind });
