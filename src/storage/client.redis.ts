/** One connection to Redis, found in one of three ways: at an address, through Sentinels, or as the owner of our slot. */
import { createConnection } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis';
import type { RedisAddress, RedisConfig } from '../config.js';

/** Silence of the server for so long, while it owes an answer, ends the connection. */
export const SILENCE_MS = 1000;
const MAX_RECONNECT_MS = 500;

type Stream = Awaited<ReturnType<AbstractConnector['connect']>>;

interface Login {
  username?: string;
  password?: string;
  db: number;
  tls?: ConnectionOptions;
}

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

function loginOf(url: URL | null): Login {
  return {
    username: url?.username ? decodeURIComponent(url.username) : undefined,
    password: url?.password ? decodeURIComponent(url.password) : undefined,
    db: Number(url?.pathname.slice(1) || 0),
    tls: url?.protocol === 'rediss:' ? serverName(hostOf(url)) : undefined,
  };
}

function hostOf(url: URL | null): string {
  return url?.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
}

/** A certificate is asked for by name, where there is one. */
function serverName(host: string): ConnectionOptions {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}

/**
 * All our keys share one slot, so one connection to its owner is enough, and Cluster behaves like the other two: who
 * owns the slot is asked of all known nodes anew at every connect, and a MOVED makes `RedisLink` connect again.
 */
function clusterConnector(seeds: RedisAddress[], hashTag: string, login: Login): RedisOptions['Connector'] {
  const known = new Map(seeds.map((node) => [`${node.host}:${node.port}`, node]));
  return class ClusterConnector extends AbstractConnector {
    constructor(options: unknown) {
      super((options as { disconnectTimeout: number }).disconnectTimeout);
    }

    override async connect(): Promise<Stream> {
      this.connecting = true;
      const owner = await Promise.any(
        [...known.values()].map((node) => ownerOf(node, hashTag, login, known)),
      );
      if (!this.connecting) throw new Error('Connection is closed.');
      this.stream = login.tls
        ? connectTls({ ...serverName(owner.host), ...owner })
        : createConnection({ ...owner });
      this.stream.once('error', (error: Error) => {
        this.firstError = error;
      });
      return this.stream;
    }
  };
}

async function ownerOf(
  node: RedisAddress,
  hashTag: string,
  login: Login,
  known: Map<string, RedisAddress>,
): Promise<RedisAddress> {
  const client = new Redis({
    ...login,
    ...node,
    tls: login.tls && serverName(node.host),
    db: 0,
    retryStrategy: () => null,
    enableReadyCheck: false,
    connectTimeout: MAX_RECONNECT_MS,
    commandTimeout: MAX_RECONNECT_MS,
  });
  // What fails here fails the commands below too, and they say so.
  client.on('error', () => undefined);
  try {
    const slot = Number(await client.call('cluster', 'keyslot', hashTag));
    const ranges = (await client.call('cluster', 'slots')) as [
      number,
      number,
      ...[string | null, number][],
    ][];
    let owner: RedisAddress | undefined;
    for (const [first, last, ...nodes] of ranges) {
      for (const [index, [host, port]] of nodes.entries()) {
        // A node that does not know its own address leaves it out, and means the one it was reached at.
        const address = { host: host || node.host, port };
        known.set(`${address.host}:${address.port}`, address);
        if (index === 0 && first <= slot && slot <= last) owner = address;
      }
    }
    if (!owner) throw new Error(`CLUSTERDOWN nobody serves slot ${slot}`);
    return owner;
  } finally {
    client.disconnect();
  }
}
