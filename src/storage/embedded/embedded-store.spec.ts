import { openStore } from '../../../test/support/open-store.js';
import { until } from '../../../test/support/until.js';
import { sleep } from '../../shared/clock.js';
import { BrainError } from '../../shared/errors.js';
import { eventLogContract } from '../contract/event-log.contract.js';
import { ITEMS, item } from '../contract/items.js';
import { storeContract } from '../contract/store.contract.js';
import type { Backend } from '../contract/subject.js';

async function start(): Promise<Backend> {
  let opened = await openStore();
  return {
    client: async () => opened,
    restart: async () => {
      opened = await opened.reopen();
      return opened;
    },
    stop: () => opened.close(),
  };
}

storeContract('the embedded database', start);
eventLogContract('the embedded database', start);

describe('a commit that is not on disk yet', () => {
  it('delays every answer that depends on it: a repetition, a refusal, a transaction without changes', async () => {
    const opened = await openStore();
    const { db, store } = opened;
    const idempotency = { key: 'k', body: 'x' };
    await store.transaction((tx) => tx.insert(ITEMS, item('before')));
    let flush = (): void => {};
    const flushed = new Promise<void>((resolve) => {
      flush = resolve;
    });
    const { root } = (db as unknown as { opened: { root: object } }).opened;
    Object.defineProperty(root, 'flushed', { configurable: true, get: () => flushed });
    const make = (): Promise<string> =>
      store.transaction(
        (tx) => {
          tx.insert(ITEMS, item('a'));
          return 'made';
        },
        { idempotency },
      );
    const first = make();
    await until(async () => (await store.get(ITEMS, 'a')) !== undefined, 5000, 'the first commit');
    const answers: string[] = [];
    const note = (what: string, answer: Promise<unknown>): Promise<unknown> =>
      answer.then(
        () => answers.push(what),
        () => answers.push(what),
      );
    const all = [
      note('repetition', make()),
      note(
        'conflict',
        store.transaction((tx) => tx.insert(ITEMS, item('a'))),
      ),
      note(
        'no change',
        store.transaction((tx) => tx.get(ITEMS, 'a')),
      ),
      note(
        'refusal',
        store.transaction(async (tx) => {
          if (await tx.get(ITEMS, 'a')) throw new BrainError('conflict', 'there', 'It is there.');
        }),
      ),
    ];
    await sleep(100);
    expect(answers).toEqual([]);
    flush();
    await Promise.all([first, ...all]);
    expect(answers.sort()).toEqual(['conflict', 'no change', 'refusal', 'repetition']);
    Reflect.deleteProperty(root, 'flushed');
    await opened.close();
  });
});
