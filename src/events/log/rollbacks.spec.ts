/** Two failovers that go back to the same event, the second to a server whose clock is behind. */

import { sleep } from '../../shared/clock.js';
import { Logger } from '../../shared/logger.js';
import type { EventLog, Fork } from '../../storage/event-log.js';
import type { Store } from '../../storage/store.js';
import type { EventStream } from '../event-stream.js';
import { Rollbacks } from './rollbacks.js';

it.each([
  ['agree', 0],
  ['differ: the promoted server is 10 s behind', 10_000],
])('two failovers to the same fork are both reported where the clocks %s', async (_how, behindMs) => {
  const published: { from: number; to: number }[] = [];
  const bounds = { first: '1-0', last: null, end: null, length: 0, trimmed: null };
  const forkOf = (id: string): Fork[] => [{ id, order: 2, position: fork, at: 0 }];
  const fork = `${Date.now() - 20_000}-0`;
  const log = {
    history: forkOf('first'),
    acknowledged: () => [],
    bounds: async () => bounds,
  };
  const events = {
    publish: ({ payload }: { payload: { from: number; to: number } }) => void published.push(payload),
    oldestWrittenAfter: () => Date.now() / 1000 - 1,
  } as unknown as EventStream;
  const clock = () => ({ earliest: Date.now() / 1000, latest: Date.now() / 1000 });
  const store = { acquire: async () => undefined, clock } as unknown as Store;
  const rollbacks = new Rollbacks(
    store,
    log as unknown as EventLog,
    events,
    new Logger({ level: 'silent', format: 'json' }),
  );
  rollbacks.missed({
    reason: 'rollback',
    missing: 'any',
    next: fork,
    from: fork,
    to: `${Date.now() - 500}-0`,
  });
  await rollbacks.check();
  await sleep(50);
  // Written to the promoted server after the first report, and lost by the second failover, which goes back to the same fork.
  const lostAt = Date.now() / 1000;
  const position = `${Date.now() - behindMs}-0`;
  await sleep(50);
  log.history = forkOf('second');
  rollbacks.missed({ reason: 'rollback', missing: 'any', next: fork, from: fork, to: position });
  await rollbacks.check();
  expect(published.some(({ from, to }) => from <= lostAt && lostAt <= to)).toBe(true);
});
