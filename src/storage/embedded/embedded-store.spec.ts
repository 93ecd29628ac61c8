import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../../test/support/redis-server.js';
import { sleep } from '../../shared/clock.js';
import { BrainError } from '../../shared/errors.js';
import { eventLogContract } from '../contract/event-log.contract.js';
import { type Backend, type Client, ITEMS, item, storeContract } from '../contract/store.contract.js';
import { EmbeddedDatabase } from './database.js';
import { EmbeddedEventLog } from './embedded-event-log.js';
import { EmbeddedStore } from './embedded-store.js';

async function start(): Promise<Backend> {
  const folder = mkdtempSync(join(tmpdir(), 'brain-embedded-'));
  const open = async (): Promise<Client> => {
    const db = await EmbeddedDatabase.open(folder, { maxBytes: 2 ** 32 });
    const log = new EmbeddedEventLog(db);
    return { log, store: new EmbeddedStore(db, log) };
  };
  let client = await open();
  return {
    client: async () => client,
    restart: async () => {
      await client.store.close();
      client = await open();
      return client;
    },
    stop: async () => {
      await client.store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

storeContract('the embedded database', start);
eventLogContract('the embedded database', start);

describe('a commit that is not on disk yet', () => {
  it('is in no answer: of a repetition, a refusal, or a transaction that changes nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'brain-embedded-'));
    const db = await EmbeddedDatabase.open(folder, { maxBytes: 2 ** 30 });
    const store = new EmbeddedStore(db, new EmbeddedEventLog(db));
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
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
});
