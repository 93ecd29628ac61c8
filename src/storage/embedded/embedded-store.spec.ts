import { temporaryFolder } from '../../../test/support/folder.js';
import { openStore } from '../../../test/support/open-store.js';
import { until } from '../../../test/support/until.js';
import { sleep } from '../../shared/clock.js';
import { BrainError } from '../../shared/errors.js';
import { eventLogContract } from '../contract/event-log.contract.js';
import { ITEMS, item } from '../contract/items.js';
import { storeContract } from '../contract/store.contract.js';
import type { Backend } from '../contract/subject.js';
import { EmbeddedDatabase } from './database.js';
import { EmbeddedEventLog } from './embedded-event-log.js';
import { EmbeddedStore } from './embedded-store.js';

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

describe('a full store', () => {
  const MIB = 2 ** 20;
  const folder = temporaryFolder();
  afterAll(() => folder.remove());
  const full = expect.objectContaining({ code: 'storage_full' }) as Error;

  it('still takes essential changes, then deletes, and others again once there is room', async () => {
    const db = await EmbeddedDatabase.open(folder.path, { maxBytes: 48 * MIB });
    const store = new EmbeddedStore(db, new EmbeddedEventLog(db));
    let made = 0;
    const insert = (characters: number, essential?: boolean): Promise<void> =>
      store.transaction(
        (tx) => {
          made += 1;
          tx.insert(ITEMS, Object.assign(item(`i${made}`), { filler: 'x'.repeat(characters) }));
          tx.record({ json: '{}', keys: [`s:i${made}`] });
        },
        { essential },
      );
    /** Inserts until one is refused. Returns how many were stored. */
    const fill = async (characters: number, essential?: boolean): Promise<number> => {
      for (let stored = 0; stored < 5000; stored += 1) {
        const refusal: unknown = await insert(characters, essential).catch((error: unknown) => error);
        if (refusal === undefined) continue;
        expect(refusal).toEqual(full);
        return stored;
      }
      throw new Error('it was never full');
    };
    expect(await fill(250_000)).toBeGreaterThan(50);
    await expect(insert(10)).rejects.toEqual(full);
    expect((await store.health()).code).toBe('storage_full');
    // An essential change does not make the store ready for others.
    await insert(10, true);
    expect((await store.health()).code).toBe('storage_full');
    await expect(insert(10)).rejects.toEqual(full);
    expect(await fill(20_000, true)).toBeGreaterThan((4 * MIB) / 20_000);
    await store.transaction(async (tx) => {
      for (let n = 1; n <= 60; n += 1) if (await tx.get(ITEMS, `i${n}`)) tx.delete(ITEMS, `i${n}`);
    });
    await until(
      () =>
        insert(10).then(
          () => true,
          () => false,
        ),
      5000,
      'room for others',
    );
    expect((await store.health()).ok).toBe(true);
    await store.close();
  });
});
