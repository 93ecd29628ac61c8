import { KeyedQueues } from './queues.js';
import type { Collection } from './store.js';
import { runTransaction, type TransactionBackend } from './transaction.js';

const THINGS: Collection<{ id: string }> = {
  name: 'things',
  item: 'thing',
  version: 1,
  indexVersion: 1,
  id: ({ id }) => id,
};

it('a transaction does not run again when its time is over after a wait', async () => {
  let aheadMs = 0;
  const now = performance.now.bind(performance);
  jest.spyOn(performance, 'now').mockImplementation(() => now() + aheadMs);
  const commit: jest.Mock = jest.fn(() => {
    // After the second conflict the transaction sleeps.
    if (commit.mock.calls.length === 2) setTimeout(() => (aheadMs = 5000), 1);
    return Promise.resolve({ status: 'changed' as const, what: 'one' });
  });
  const backend = { commit } as Partial<TransactionBackend> as TransactionBackend;
  const lost = runTransaction(backend, new KeyedQueues(), (tx) => tx.append(THINGS, 'one', {}));
  await expect(lost).rejects.toMatchObject({ code: 'store_busy' });
  expect(commit).toHaveBeenCalledTimes(2);
});
afterEach(() => jest.restoreAllMocks());
