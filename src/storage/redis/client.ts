/** The options of the Redis client: it does not queue commands, it does not send them twice, and it has timeouts. */
import { Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig } from '../../config/config.js';
import { clusterConnector } from './cluster.js';
import { hostOf, loginOf } from './login.js';

/** The connection ends when the server does not answer a command for this long. */
const SILENCE_MS = 1000;
const MAX_RECONNECT_MS = 500;

/**
 * A client that is not yet connected. An unanswered command fails when its connection breaks, and `RedisLink` decides
 * whether to send it again. `hashTag` is in the name of every key, so that all keys are in one slot of a cluster.
 */
export function createClient(config: RedisConfig, hashTag: string): Redis {
  const url = config.url === null ? null : new URL(config.url);
  const login = loginOf(url);
  const options: RedisOptions = {
    ...login,
    lazyConnect: true,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: null,
    connectTimeout: SILENCE_MS,
    socketTimeout: SILENCE_MS,
    disconnectTimeout: 100,
    retryStrategy: (times) => Math.min(MAX_RECONNECT_MS, 50 * 2 ** Math.min(times - 1, 10)),
    connectionName: 'brain-control-plane',
  };
  if (config.cluster.length > 0) {
    return new Redis({ ...options, db: 0, Connector: clusterConnector(config.cluster, hashTag, login) });
  }
  if (config.sentinels.length > 0) {
    return new Redis({
      ...options,
      sentinels: config.sentinels,
      name: config.master ?? '',
      sentinelPassword: login.password,
      sentinelTLS: login.tls,
      enableTLSForSentinelMode: login.tls !== undefined,
      sentinelCommandTimeout: MAX_RECONNECT_MS,
      sentinelRetryStrategy: (times) => Math.min(MAX_RECONNECT_MS, 50 * times),
    });
  }
  return new Redis({ ...options, host: hostOf(url), port: Number(url?.port || 6379) });
}
