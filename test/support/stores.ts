/** The stores of the end-to-end tests, and a service on one of them. */
import { RedisServer } from './redis-server.js';
import { type Service, startService } from './service.js';

export interface RunningStore {
  /** The settings for a service that uses it. */
  env: Record<string, string>;
  stop(): Promise<void>;
}

/** Starts an empty store. */
export type StartStore = () => Promise<RunningStore>;

/** Each service has its own data folder, so there is nothing to start. */
export async function startEmbedded(): Promise<RunningStore> {
  return { env: {}, stop: async () => undefined };
}

export async function startRedis(): Promise<RunningStore> {
  const server = await RedisServer.start();
  return { env: { REDIS_URL: server.url }, stop: () => server.stop() };
}

export const STORES: [name: string, start: StartStore][] = [
  ['the embedded store', startEmbedded],
  ['Redis', startRedis],
];

/**
 * Starts a store and a service on it before the tests of this block, and stops both after them. The service has its fields
 * from then on.
 */
export function serviceOn(startStore: StartStore, env: Record<string, string> = {}): Service {
  const service = {} as Service;
  let store: RunningStore | undefined;
  beforeAll(async () => {
    store = await startStore();
    Object.assign(service, await startService({ ...store.env, ...env }));
  }, 60_000);
  afterAll(async () => {
    await service.stop?.();
    await store?.stop();
  });
  return service;
}

/** Runs `use` with a service on an empty store, and stops both. */
export async function withService(
  startStore: StartStore,
  env: Record<string, string>,
  use: (service: Service) => Promise<void>,
): Promise<void> {
  const store = await startStore();
  try {
    const service = await startService({ ...store.env, ...env });
    await use(service).finally(() => service.stop());
  } finally {
    await store.stop();
  }
}

export interface Replicas {
  redis: RedisServer;
  one: Service;
  other: Service;
}

/** The same for two services on one Redis, which start at the same time. */
export function twoReplicas(): Replicas {
  const replicas = { one: {}, other: {} } as Replicas;
  beforeAll(async () => {
    replicas.redis = await RedisServer.start();
    const env = { REDIS_URL: replicas.redis.url };
    const started = await Promise.all([startService(env), startService(env)]);
    Object.assign(replicas.one, started[0]);
    Object.assign(replicas.other, started[1]);
  }, 60_000);
  afterAll(async () => {
    await Promise.all([replicas.one.stop?.(), replicas.other.stop?.()]);
    await replicas.redis?.stop();
  });
  return replicas;
}
