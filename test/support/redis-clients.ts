/** Clients of the store on Redis, like those of the replicas of a service. */
import type { RedisConfig } from '../../src/config/config.js';
import { BrainError } from '../../src/shared/errors.js';
import { ITEMS, type Item } from '../../src/storage/contract/items.js';
import type { Backend, Client } from '../../src/storage/contract/subject.js';
import type { EventRecord } from '../../src/storage/event-log.js';
import { RedisLink } from '../../src/storage/redis/link.js';
import { RedisEventLog } from '../../src/storage/redis/redis-event-log.js';
import { RedisStore } from '../../src/storage/redis/redis-store.js';
import { ReplicaAck } from '../../src/storage/redis/replica-ack.js';
import { SCRIPTS } from '../../src/storage/redis/scripts.js';
import { type RedisServer } from './redis-server.js';
import { Wire } from './wire.js';

interface LogLine {
  level: 'info' | 'warn' | 'error';
  message: string;
  fields: Record<string, unknown>;
}

export interface RedisClient extends Client {
  link: RedisLink;
  store: RedisStore;
  /** The log lines of this client. */
  lines: LogLine[];
}

export function openClient(config: Partial<RedisConfig>, prefix = 'brain'): RedisClient {
  const lines: LogLine[] = [];
  const write =
    (level: LogLine['level']) =>
    (message: unknown, fields: unknown = {}): void => {
      lines.push({ level, message: String(message), fields: fields as LogLine['fields'] });
    };
  const logger = { info: write('info'), warn: write('warn'), error: write('error') };
  const none = { url: null, sentinels: [], master: null, cluster: [], wait: 0 };
  const link = new RedisLink({ ...none, ...config }, prefix, logger);
  const replication = new ReplicaAck(link);
  const log = new RedisEventLog(link, replication);
  return { link, log, store: new RedisStore(link, replication), lines };
}

/** A backend for the contract suites. Its `stop` also calls the given `stop`. */
export function backendOn(config: Partial<RedisConfig>, stop: () => Promise<void>): Backend {
  const clients = new Set<RedisClient>();
  const client = async (): Promise<Client> => {
    const one = openClient(config);
    clients.add(one);
    return one;
  };
  const end = async (): Promise<void> => {
    await Promise.all([...clients].map((one) => one.store.close()));
    clients.clear();
  };
  return {
    client,
    restart: async () => {
      await end();
      return client();
    },
    stop: async () => {
      await end();
      await stop();
    },
  };
}

/** The same on one server. Each client has a wire on which an answer can get lost. */
export function wiredBackendOn(server: RedisServer): Backend {
  const wires = new Map<Client, Wire>();
  const client = async (): Promise<Client> => {
    const wire = await Wire.to(server.port);
    const one = openClient({ url: wire.url });
    wires.set(one, wire);
    return one;
  };
  const end = async (): Promise<void> => {
    for (const [one, wire] of wires) {
      await one.store.close();
      await wire.close();
    }
    wires.clear();
  };
  return {
    client,
    restart: async () => {
      await end();
      return client();
    },
    loseNextAnswer: (one) => wires.get(one)?.cutAfter(SCRIPTS.commit.sha),
    stop: async () => {
      await end();
      await server.stop();
    },
  };
}

/** The promised time of an answer, and the time in which everything must work again. */
export const ANSWER_MS = 2000;
export const RECOVERY_MS = 5000;

/** The error of a call that must fail within the promised time. */
export async function failure(promise: Promise<unknown>): Promise<BrainError> {
  const startedMs = Date.now();
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(BrainError);
  expect(Date.now() - startedMs).toBeLessThan(ANSWER_MS);
  return error as BrainError;
}

/** An event under the index key `s:x`. */
export function eventOf(what: string): EventRecord {
  const envelope = { what, payload: { agent_id: 'x' }, meta: { correlation_id: null } };
  return { json: JSON.stringify(envelope), keys: ['s:x'] };
}

export async function insertItem(client: RedisClient, one: Item): Promise<void> {
  await client.store.transaction((tx) => {
    tx.insert(ITEMS, one);
    tx.record(eventOf(`made ${one.id}`));
  });
}

/** A client with complete indexes. */
export async function openReady(url: string): Promise<RedisClient> {
  const client = openClient({ url });
  client.store.declare(ITEMS);
  await client.store.counts(ITEMS);
  return client;
}
