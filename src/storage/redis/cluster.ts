/** Finds the node of a Redis Cluster that has our keys. */
import { createConnection } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig } from '../../config/config.js';
import { type Login, serverName } from './login.js';

type RedisAddress = RedisConfig['cluster'][number];

/** A node that does not answer within this time is ignored. */
const ASK_MS = 500;

type Stream = Awaited<ReturnType<AbstractConnector['connect']>>;

/** The answer of one node. */
interface SlotMap {
  /** The node that owns the slot of our keys. */
  owner: RedisAddress;
  /** All nodes of the cluster. */
  nodes: RedisAddress[];
}

/**
 * All keys are in one slot, so one connection to its owner is enough. Every connect asks all known nodes for the owner
 * and uses the first answer. After a MOVED `RedisLink` connects again, so a cluster needs no further code.
 */
export function clusterConnector(
  seeds: RedisAddress[],
  hashTag: string,
  login: Login,
): RedisOptions['Connector'] {
  const known = new Map(seeds.map((node) => [nameOf(node), node]));
  return class ClusterConnector extends AbstractConnector {
    constructor(options: unknown) {
      super((options as { disconnectTimeout: number }).disconnectTimeout);
    }

    override async connect(): Promise<Stream> {
      this.connecting = true;
      const answers = [...known.values()].map((node) => slotMapOf(node, hashTag, login));
      const { owner, nodes } = await Promise.any(answers);
      for (const node of nodes) known.set(nameOf(node), node);
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

async function slotMapOf(node: RedisAddress, hashTag: string, login: Login): Promise<SlotMap> {
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
  // The commands below fail with the same error.
  client.on('error', () => undefined);
  try {
    const slot = Number(await client.call('cluster', 'keyslot', hashTag));
    const ranges = (await client.call('cluster', 'slots')) as [
      number,
      number,
      ...[string | null, number][],
    ][];
    const nodes: RedisAddress[] = [];
    let owner: RedisAddress | undefined;
    for (const [first, last, ...members] of ranges) {
      for (const [index, [host, port]] of members.entries()) {
        // A node that does not know its own address leaves it out. Then it has the address at which it was reached.
        const address = { host: host || node.host, port };
        nodes.push(address);
        if (index === 0 && first <= slot && slot <= last) owner = address;
      }
    }
    if (!owner) throw new Error(`CLUSTERDOWN no node serves slot ${slot}`);
    return { owner, nodes };
  } finally {
    client.disconnect();
  }
}

function nameOf({ host, port }: RedisAddress): string {
  return `${host}:${port}`;
}
