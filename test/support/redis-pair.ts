/** A master of Redis and its replica, which a test promotes while the old master still takes writes. */
import type { Cleanup } from './cleanup.js';
import { ALWAYS, NO_SYNC_DELAY, RedisServer } from './redis-server.js';
import { until } from './until.js';
import { Wire } from './wire.js';

export const EVENT_LOG = 'brain:events:stream';
const REPLICATED_MS = 10_000;

export interface RedisPair {
  old: RedisServer;
  promoted: RedisServer;
}

/** What a `stream.gap` reports. */
export interface Gap {
  reason: string;
  from: number;
  to: number;
}

export async function startPair({ started }: Cleanup): Promise<RedisPair> {
  const old = started(await RedisServer.start([...ALWAYS, ...NO_SYNC_DELAY]));
  const promoted = started(await RedisServer.startReplica(old, ALWAYS));
  return { old, promoted };
}

export async function wireTo({ port }: RedisServer, { later }: Cleanup): Promise<Wire> {
  const wire = await Wire.to(port);
  later(() => wire.close());
  return wire;
}

export function logLength(server: RedisServer): number {
  return Number(server.cli('xlen', EVENT_LOG));
}

/** Waits until the replica has every event of the master. */
export function replicated({ old, promoted }: RedisPair): Promise<void> {
  return until(() => logLength(promoted) === logLength(old), REPLICATED_MS, 'the replica having all events');
}
