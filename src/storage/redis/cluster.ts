/** How one connection finds the node of a Redis Cluster that has our keys. */
import { createConnection } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig } from '../../config/config.js';
import { type Login, serverName } from './login.js';

type RedisAddress = RedisConfig['cluster'][number];

/** A node that does not answer is passed over after this. */
const ASK_MS = 500;

type Stream = Awaited<ReturnType<AbstractConnector['connect']>>;

/**
 * All our keys share one slot, so one connection to its owner is enough, and Cluster behaves like the other two: who
 * owns the slot is asked of all known nodes anew at every connect, and a MOVED makes `RedisLink` connect again.
 */
export function clusterConnector(
  seeds: RedisConfig['cluster'],
  hashTag: string,
  login: Login,
): RedisOptions['Connector'] {
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
  node: RedisConfig['cluster'][number],
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
    connectTimeout: ASK_MS,
    commandTimeout: ASK_MS,
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
    let owner: RedisConfig['cluster'][number] | undefined;
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
