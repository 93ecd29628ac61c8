import { wiredBackendOn } from '../../../test/support/redis-clients.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import { eventLogContract } from '../contract/event-log.contract.js';
import { storeContract } from '../contract/store.contract.js';
import type { Backend } from '../contract/subject.js';

const start = async (): Promise<Backend> => wiredBackendOn(await RedisServer.start());

storeContract('Redis', start);
eventLogContract('Redis', start);
