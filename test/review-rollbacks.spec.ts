/** A finding of a review about two failovers that go back to the same event; it fails until its fault is cured. */
import type { EventStream } from '../src/events/event-stream.js';
import { Rollbacks } from '../src/events/log/rollbacks.js';
import { sleep } from '../src/shared/clock.js';
import { Logger } from '../src/shared/logger.js';
import type { EventLog } from '../src/storage/event-log.js';
import type { Store } from '../src/storage/store.js';

it.each([
  ['agree', 0],
  ['differ: the promoted server is 10 s behind', 10_000],
])('two failovers to the same fork are both reported where the clocks %s', async (_how, behindMs) => {
  const published: { from: number; to: number }[] = [];
  const bounds = { first: '1-0', last: null, end: null, length: 0, trimmed: null };
  const log = {
    history: undefined,
    acknowledged: () => [],
    bounds: async () => bounds,
  } as unknown as EventLog;
  const events = {
    publish: ({ payload }: { payload: { from: number; to: number } }) => void published.push(payload),
    writtenBehind: () => Date.now() / 1000 - 1,
  } as unknown as EventStream;
  const store = { acquire: async () => undefined } as unknown as Store;
  const rollbacks = new Rollbacks(store, log, events, new Logger({ level: 'silent', format: 'json' }));
  const fork = `${Date.now() - 20_000}-0`;
  rollbacks.missed({ reason: 'rollback', from: fork, to: `${Date.now() - 500}-0` });
  await rollbacks.check();
  await sleep(50);
  // Written to the promoted server after the first report, and lost by the second failover, which goes back to the same fork.
  const lostAt = Date.now() / 1000;
  const position = `${Date.now() - behindMs}-0`;
  await sleep(50);
  rollbacks.missed({ reason: 'rollback', from: fork, to: position });
  await rollbacks.check();
  expect(published.some(({ from, to }) => from <= lostAt && lostAt <= to)).toBe(true);
});
