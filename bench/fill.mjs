/**
 * Puts threats into a store, through the port that the service itself uses, so that documents, indexes and counters are
 * what they would be. A thousand to a transaction, because the way of one transaction costs more than one threat, and
 * two under way at once, so that one is planned while the other is written.
 */
import { openService, THREATS, threat } from './inside.mjs';

const PER_TRANSACTION = 1000;
const AT_ONCE = 2;

const count = Number(process.argv[2]);
const { store, close } = await openService();
const startedMs = performance.now();
let next = 0;

async function worker() {
  while (next < count) {
    const from = next;
    const until = Math.min(count, from + PER_TRANSACTION);
    next = until;
    await store.transaction((tx) => {
      for (let n = from; n < until; n += 1) tx.insert(THREATS, threat(n));
    });
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, worker));
const { total } = await store.counts(THREATS);
if (total !== count) throw new Error(`${total} of ${count} threats are in the store`);
process.send({ seconds: (performance.now() - startedMs) / 1000 });
await close();
process.exit(0);
