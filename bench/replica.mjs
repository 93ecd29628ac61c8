/** The service in this process, so that its event loop can be measured. It publishes what it gets in messages. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { openService, runInContext, threat, threatDetected } from './inside.mjs';

/** How often the loop is looked at; what is measured is how much later than this it gets there. */
const LOOK_EVERY_MS = 10;

const { events, listen } = await openService();
const loop = monitorEventLoopDelay({ resolution: LOOK_EVERY_MS });

/** One after the other at a steady pace; a timer that comes late is made up for. */
async function publish(count, perSecond) {
  const startedMs = performance.now();
  for (let sent = 0; sent < count; ) {
    const due = Math.min(count, Math.ceil(((performance.now() - startedMs) * perSecond) / 1000));
    for (; sent < due; sent += 1) {
      const context = { requestId: 'bench', correlationId: `correlation-${sent}` };
      runInContext(context, () => events.publish(threatDetected(threat(sent))));
    }
    await sleep(1);
  }
}

function watch(on) {
  if (on) {
    loop.reset();
    loop.enable();
    return {};
  }
  loop.disable();
  const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - LOOK_EVERY_MS);
  const at = (percentile) => late(loop.percentile(percentile));
  return { held: { p50Ms: at(50), p99Ms: at(99), maxMs: late(loop.max) } };
}

process.on('message', async (job) => {
  if (job.publish) await publish(job.publish, job.perSecond);
  process.send(job.publish ? {} : watch(job.watch));
});
process.send({ url: await listen() });
