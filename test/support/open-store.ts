/** Real stores for tests of parts of the service: the embedded store, or Redis. */
import { EmbeddedDatabase } from '../../src/storage/embedded/database.js';
import { EmbeddedEventLog } from '../../src/storage/embedded/embedded-event-log.js';
import { EmbeddedStore } from '../../src/storage/embedded/embedded-store.js';
import { temporaryFolder } from './folder.js';
import { openReady, type RedisClient } from './redis-clients.js';
import { RedisServer } from './redis-server.js';
import { Wire } from './wire.js';

const MAX_BYTES = 2 ** 30;

/** A test may pass a subclass of the store, for instance one that fails on purpose. */
type StoreClass<S> = new (db: EmbeddedDatabase, log: EmbeddedEventLog) => S;

export interface OpenStore<S extends EmbeddedStore = EmbeddedStore> {
  readonly folder: string;
  readonly db: EmbeddedDatabase;
  readonly log: EmbeddedEventLog;
  readonly store: S;
  /** Closes the store and opens it again on the same data, like a restart. */
  reopen: () => Promise<OpenStore<S>>;
  /** Closes the store and removes its data. */
  close: () => Promise<void>;
}

/** The embedded store in a folder of its own. */
export function openStore(): Promise<OpenStore>;
export function openStore<S extends EmbeddedStore>(Kind: StoreClass<S>): Promise<OpenStore<S>>;
export async function openStore(Kind: StoreClass<EmbeddedStore> = EmbeddedStore): Promise<OpenStore> {
  const folder = temporaryFolder();
  const open = async (): Promise<OpenStore> => {
    const db = await EmbeddedDatabase.open(folder.path, { maxBytes: MAX_BYTES });
    const log = new EmbeddedEventLog(db);
    const store = new Kind(db, log);
    const reopen = async (): Promise<OpenStore> => {
      await store.close();
      return open();
    };
    const close = async (): Promise<void> => {
      await store.close();
      folder.remove();
    };
    return { folder: folder.path, db, log, store, reopen, close };
  };
  return open();
}

export interface OpenRedis {
  readonly server: RedisServer;
  readonly client: RedisClient;
  close: () => Promise<void>;
}

/** A Redis of its own and a client with complete indexes. `options` are arguments of redis-server. */
export async function openRedisStore(options: string[] = []): Promise<OpenRedis> {
  const server = await RedisServer.start(options);
  const client = await openReady(server.url);
  const close = async (): Promise<void> => {
    await client.store.close();
    await server.stop();
  };
  return { server, client, close };
}

export interface WiredRedis extends OpenRedis {
  readonly wire: Wire;
}

/** The same with a connection that the test can break. */
export async function openWiredRedisStore(): Promise<WiredRedis> {
  const server = await RedisServer.start();
  const wire = await Wire.to(server.port);
  const client = await openReady(wire.url);
  const close = async (): Promise<void> => {
    await client.store.close();
    await wire.close();
    await server.stop();
  };
  return { server, wire, client, close };
}
