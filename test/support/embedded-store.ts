/** An empty embedded store in a folder of its own, for tests of one class. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Logger } from '../../src/shared/logger.js';
import { EmbeddedDatabase } from '../../src/storage/embedded/database.js';
import { EmbeddedEventLog } from '../../src/storage/embedded/embedded-event-log.js';
import { EmbeddedStore } from '../../src/storage/embedded/embedded-store.js';

export const SILENT = new Logger({ level: 'silent', format: 'json' });

interface OpenStore<S> {
  store: S;
  /** Closes the store and removes its folder. */
  close: () => Promise<void>;
}

export async function openEmbeddedStore<S extends EmbeddedStore = EmbeddedStore>(
  type: new (...parts: ConstructorParameters<typeof EmbeddedStore>) => S = EmbeddedStore as never,
): Promise<OpenStore<S>> {
  const folder = mkdtempSync(join(tmpdir(), 'brain-store-'));
  const db = await EmbeddedDatabase.open(folder, { maxBytes: 2 ** 30 });
  const store = new type(db, new EmbeddedEventLog(db));
  return {
    store,
    close: async () => {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
