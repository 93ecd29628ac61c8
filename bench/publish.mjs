/**
 * What an event costs: the time of the call of `publish`, the CPU of the whole path into the log, and the memory of events
 * that wait. `node --expose-gc publish.mjs`, with the settings of the service in the environment.
 */
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { openService, runInContext, threat, threatDetected } from './inside.mjs';

/** The number of calls that are timed together. To read the clock for each call would cost more than the call. */
const CALLS = 20;
const SAMPLES = 2000;
const WARM_UP = 20_000;
/** At full load the next events are published when these are in the log, so the batches have this size. */
const BATCH = 100;
const BATCHES = 1000;
/** A steady load that leaves the process idle in between: as many events every 5 ms. */
const EVERY_MS = 5;
const PACED = 60_000;
const IDLE_MS = 2000;

const context = { requestId: 'bench', correlationId: 'a-correlation-of-20' };
const subjects = Array.from({ length: 1000 }, (_, n) => threat(n));
const { events, newStream, close } = await openService();

/** Makes the payload for each call, as a service does. */
function publish(stream, n) {
  stream.publish(threatDetected(subjects[n % subjects.length]));
}

/** Microseconds of a call: the median, and what 99 of 100 samples stay under. */
async function stackCost(stream, caughtUp) {
  const costs = [];
  for (let i = 0; i < SAMPLES; i += 1) {
    const startedMs = performance.now();
    for (let n = 0; n < CALLS; n += 1) publish(stream, i + n);
    costs.push(((performance.now() - startedMs) * 1000) / CALLS);
    // The timers of the stream get their turn, as they do between requests, and the buffer stays far from full.
    await turn();
    if (i % 100 === 0) await caughtUp();
  }
  costs.sort((a, b) => a - b);
  return { medianUs: costs[costs.length >> 1], p99Us: costs[Math.floor(costs.length * 0.99)] };
}

const cpuUs = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** At full load: the caches are warm, and only the log is waited for. */
async function fullCost(stream) {
  const fromUs = cpuUs();
  const startedMs = performance.now();
  for (let i = 0; i < BATCHES; i += 1) {
    for (let n = 0; n < BATCH; n += 1) publish(stream, i * BATCH + n);
    await stream.flush();
  }
  const events = BATCH * BATCHES;
  return { cpuUs: (cpuUs() - fromUs) / events, perSecond: (events * 1000) / (performance.now() - startedMs) };
}

/** At a steady load: each batch wakes a process that slept. The CPU of an idle process is subtracted. */
async function pacedCost(stream) {
  await stream.flush();
  const idleFromUs = cpuUs();
  await sleep(IDLE_MS);
  const idlePerMs = (cpuUs() - idleFromUs) / IDLE_MS;
  const fromUs = cpuUs();
  const startedMs = performance.now();
  for (let sent = 0; sent < PACED; ) {
    // After a late timer more events are sent, so that the rate is the same on a busy machine.
    const due = Math.min(PACED, Math.ceil((performance.now() - startedMs) / EVERY_MS) * BATCH);
    for (; sent < due; sent += 1) publish(stream, sent);
    await sleep(EVERY_MS);
  }
  await stream.flush();
  const ms = performance.now() - startedMs;
  return { cpuUs: (cpuUs() - fromUs - idlePerMs * ms) / PACED, perSecond: (PACED * 1000) / ms };
}

/** The cost of serializing the same event alone. It shows how fast the machine is at the moment. */
function reference() {
  const { payload } = threatDetected(subjects[0]);
  const event = {
    id: 'evt_threat_1700000000000_abcdefgh',
    type: 'threat.detected',
    source: 'threat_service',
  };
  const meta = { correlation_id: context.correlationId, version: '1.0', schema_version: 1 };
  const envelope = { ...event, target: null, timestamp: 1_700_000_000.123, payload, meta };
  const fromUs = cpuUs();
  for (let n = 0; n < PACED; n += 1) JSON.stringify(envelope);
  return { cpuUs: (cpuUs() - fromUs) / PACED, bytes: JSON.stringify(envelope).length };
}

/** A log that never answers. The buffer fills up to its bound, and then events are counted as lost. */
async function hung() {
  const unanswered = () => new Promise(() => undefined);
  const stream = newStream({ append: unanswered, bounds: unanswered, watchDurability: () => unanswered });
  const used = () => {
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  const filling = await stackCost(stream, () => undefined);
  // Until the buffer is full.
  while (stream.lost === 0) for (let n = 0; n < 1000; n += 1) publish(stream, n);
  await sleep(1000);
  const mib = (used() - before) / 2 ** 20;
  const full = await stackCost(stream, () => undefined);
  return { filling, full, mib };
}

const result = await runInContext(context, async () => {
  for (let n = 0; n < WARM_UP; n += 1) {
    publish(events, n);
    if (n % BATCH === 0) await turn();
  }
  await events.flush();
  return {
    stack: await stackCost(events, () => events.flush()),
    full: await fullCost(events),
    paced: await pacedCost(events),
    hung: await hung(),
    reference: reference(),
  };
});
process.send(result);
await close();
process.exit(0);
