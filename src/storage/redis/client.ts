/** The client for Redis, set so that nothing queues, nothing is sent twice by itself, and silence has an end. */
import { Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig } from '../../config/config.js';
import { clusterConnector } from './cluster.js';
import { hostOf, loginOf } from './login.js';

/** Silence of the server for so long, while it owes an answer, ends the connection. */
const SILENCE_MS = 1000;
const MAX_RECONNECT_MS = 500;

/**
 * The client, not yet connected. It neither queues nor resends: an unanswered command is lost with its connection, and
 * `RedisLink` decides what becomes of it. `hashTag` makes every key live in one slot of a cluster.
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
