/** Bare BullMQ: a queue and a worker that does nothing, as many at once as of our missions. */
import { Queue, Worker } from 'bullmq';

const AT_ONCE = 50;
const { hostname, port } = new URL(process.env.REDIS_URL);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue('bench', { connection });
const worker = new Worker('bench', async () => null, {
  connection,
  concurrency: Number(process.env.BRAIN_MISSIONS_CONCURRENCY),
});
const ended = new Map();
worker.on('completed', ({ data }) => ended.get(data.n)?.());
await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
let next = 0;

async function job() {
  const n = next++;
  const over = new Promise((resolve) => ended.set(n, resolve));
  await queue.add('rest', { n });
  await over;
  ended.delete(n);
}

process.on('message', async ({ run }) => {
  const from = process.cpuUsage();
  const startedMs = performance.now();
  let count = 0;
  const lane = async () => {
    while (performance.now() - startedMs < run) {
      await job();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  const { user, system } = process.cpuUsage(from);
  process.send({
    perSecond: (count * 1000) / (performance.now() - startedMs),
    cpuUs: (user + system) / count,
  });
});
process.send({});
