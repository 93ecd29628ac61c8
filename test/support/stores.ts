/** The stores of the end-to-end tests: a name, and a function that starts an empty one. */
import { RedisServer } from './redis-server.js';

export interface RunningStore {
  /** The settings for a service that uses it. */
  env: Record<string, string>;
  stop(): Promise<void>;
}

/** Each service has its own data folder, so there is nothing to start. */
async function startEmbedded(): Promise<RunningStore> {
  return { env: {}, stop: async () => undefined };
}

async function startRedis(): Promise<RunningStore> {
  const server = await RedisServer.start();
  return { env: { REDIS_URL: server.url }, stop: () => server.stop() };
}

export const STORES: [name: string, start: () => Promise<RunningStore>][] = [
  ['the embedded store', startEmbedded],
  ['Redis', startRedis],
];
