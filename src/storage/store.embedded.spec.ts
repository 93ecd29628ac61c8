import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedDatabase } from './database.embedded.js';
import { eventLogContract } from './event-log.contract.js';
import { EventLogEmbedded } from './event-log.embedded.js';
import { type Backend, type Client, storeContract } from './store.contract.js';
import { StoreEmbedded } from './store.embedded.js';

async function start(): Promise<Backend> {
  const folder = mkdtempSync(join(tmpdir(), 'brain-embedded-'));
  const open = async (): Promise<Client> => {
    const db = await EmbeddedDatabase.open(folder, { maxBytes: 2 ** 32 });
    const log = new EventLogEmbedded(db);
    return { log, store: new StoreEmbedded(db, log) };
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
