/** The stores that the end-to-end tests run on: the name, and how to start an empty one. */
import { RedisServer } from './redis-server.js';

export interface RunningStore {
  /** The settings by which a service finds it. */
  env: Record<string, string>;
  stop(): Promise<void>;
}

/** Each service brings a data folder of its own, which is the whole store. */
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
