/**
 * Puts threats into a store, or events into its log, through the ports that the service itself uses, so that documents,
 * indexes and counters are what they would be. A thousand at once, because the way of one transaction costs more than
 * one threat, and two of them under way, so that one is planned while the other is written.
 */
import { openService, runInContext, THREATS, threat, threatDetected } from './inside.mjs';

const AT_ONCE = 1000;
const UNDER_WAY = 2;

const [what, count, subjects] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const { store, log, events, close } = await openService();

function serialized(n) {
  const context = { requestId: 'bench', correlationId: `correlation-${n}` };
  return runInContext(context, () => events.serialize(threatDetected(threat(n % subjects))));
}

const kinds = {
  threats: {
    add: (numbers) =>
      store.transaction((tx) => {
        for (const n of numbers) tx.insert(THREATS, threat(n));
      }),
    total: async () => (await store.counts(THREATS)).total,
  },
  events: {
    add: (numbers) => log.append(`fill-${numbers[0]}`, numbers.map(serialized)),
    total: async () => (await log.bounds()).length,
  },
};

const { add, total } = kinds[what];
// A new store has the events of its first policies.
const before = await total();
const startedMs = performance.now();
let next = 0;

async function worker() {
  while (next < count) {
    const from = next;
    next = Math.min(count, from + AT_ONCE);
    await add(Array.from({ length: next - from }, (_, i) => from + i));
  }
}

await Promise.all(Array.from({ length: UNDER_WAY }, worker));
const found = (await total()) - before;
if (found !== count) throw new Error(`${found} of ${count} ${what} are in the store`);
process.send({ seconds: (performance.now() - startedMs) / 1000 });
await close();
process.exit(0);
