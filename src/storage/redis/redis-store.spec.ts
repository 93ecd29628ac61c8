import { wiredBackendOn } from '../../../test/support/redis-clients.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import { eventLogContract } from '../contract/event-log.contract.js';
import { type Backend, storeContract } from '../contract/store.contract.js';

const start = async (): Promise<Backend> => wiredBackendOn(await RedisServer.start());

storeContract('Redis', start);
eventLogContract('Redis', start);
