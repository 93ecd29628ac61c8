import { RedisServer, Wire } from '../../test/support/redis-server.js';
import { eventLogContract } from './event-log.contract.js';
import { EventLogRedis } from './event-log.redis.js';
import { RedisLink } from './redis.js';
import { SCRIPTS } from './scripts.redis.js';
import { type Backend, type Client, storeContract } from './store.contract.js';
import { StoreRedis } from './store.redis.js';

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

async function start(): Promise<Backend> {
  const server = await RedisServer.start();
  const wires = new Map<Client, Wire>();
  const client = async (): Promise<Client> => {
    const wire = await Wire.to(server.port);
    const config = { url: wire.url, sentinels: [], master: null, cluster: [], wait: 0 };
    const link = new RedisLink(config, 'brain', silent);
    const log = new EventLogRedis(link);
    const one = { log, store: new StoreRedis(link, log) };
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

storeContract('Redis', start);
eventLogContract('Redis', start);
