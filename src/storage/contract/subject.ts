import type { EventLog } from '../event-log.js';
import type { Page, Store } from '../store.js';
import { ITEMS, type Item, NOTES } from './items.js';

export interface Client {
  store: Store;
  log: EventLog;
}

export interface Backend {
  /** Another client, like that of another replica. The embedded store has one process, so there it is the same client. */
  client(): Promise<Client>;
  /** Ends all clients and returns a new one on the same data, like a restart. */
  restart(): Promise<Client>;
  /**
   * The answer to the next commit of this client gets lost. Absent on the embedded store, which has no connection between
   * the commit and its caller.
   */
  loseNextAnswer?(client: Client): void;
  stop(): Promise<void>;
}

/** What the tests of a contract suite work with: a backend, and one client of it. Both exist from `start` on. */
export class Subject {
  backend!: Backend;
  here!: Client;

  get store(): Store {
    return this.here.store;
  }

  async start(start: () => Promise<Backend>): Promise<void> {
    this.backend = await start();
    this.use(await this.backend.client());
  }

  async restart(): Promise<void> {
    this.use(await this.backend.restart());
  }

  readonly clear = async (): Promise<void> => {
    for (;;) {
      const { rows } = await this.store.list(ITEMS, { limit: 200 });
      if (rows.length === 0) return;
      await this.store.transaction(async (tx) => {
        for (const { id } of rows) {
          await tx.get(ITEMS, id);
          tx.delete(ITEMS, id);
        }
      });
    }
  };

  readonly add = (...items: Item[]): Promise<void> =>
    this.store.transaction((tx) => {
      for (const one of items) tx.insert(ITEMS, one);
    });

  readonly change = (id: string, to: (old: Item) => Item, on: Store = this.store): Promise<Item> =>
    on.transaction(async (tx) => {
      const old = await tx.get(ITEMS, id);
      if (!old) throw new Error(`${id} is missing`);
      const now = to(old);
      tx.put(ITEMS, now);
      return now;
    });

  private use(client: Client): void {
    this.here = client;
    this.store.declare(ITEMS);
    this.store.declare(NOTES);
  }
}

/** All pages of a list, and the ids of their rows. */
export async function walk(
  store: Store,
  query: Parameters<Store['list']>[1],
): Promise<{ ids: string[]; pages: Page<Item>[] }> {
  const ids: string[] = [];
  const pages: Page<Item>[] = [];
  let cursor: string | undefined;
  do {
    const page: Page<Item> = await store.list(ITEMS, { ...query, cursor });
    pages.push(page);
    ids.push(...page.rows.map((row) => row.id));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  return { ids, pages };
}
