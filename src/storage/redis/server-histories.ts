/**
 * The histories of the log, as one connection sees them. Each server that takes writes begins a new history, and
 * `scripts/terms.lua` stores its fork: the position at which it begins. The events that an older history had after it are
 * lost. In Redis the list of histories is called `terms`.
 */
import type { Redis } from 'ioredis';
import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { comparePositions, type Fork, type ReaderPosition } from '../event-log.js';
import { type RedisInfo, readInfo } from './health.js';
import type { RedisKeys } from './keys.js';
import { SCRIPTS } from './scripts.js';

/** How many histories are stored. A reader cannot have missed more of them. */
const MAX_HISTORIES = 100;

export class ServerHistories {
  /** The forks of the history that this connection sees. Undefined if Redis does not report the id of its server. */
  forks: Fork[] | undefined;
  /** The history of the server must be stored before the next write: the server was a replica or refused it. */
  private isPending = false;
  /** When the connection was made. */
  private connectedMs = 0;
  private storing: Promise<void> | undefined;
  private warned = false;
  /** The last acknowledged event of this connection. */
  private lastAcknowledged: ReaderPosition | undefined;
  /** The last acknowledged events of earlier connections. */
  private acknowledgedEarlier: ReaderPosition[] = [];

  constructor(
    private readonly client: Redis,
    private readonly keys: RedisKeys,
    private readonly log: Pick<Logger, 'warn'>,
  ) {}

  /** Call it on every connection before the first write. It never fails: `storeBefore` tries again. */
  async onConnected(info: RedisInfo): Promise<void> {
    if (this.lastAcknowledged)
      this.acknowledgedEarlier = [...this.acknowledgedEarlier, this.lastAcknowledged].slice(-MAX_HISTORIES);
    this.lastAcknowledged = undefined;
    this.connectedMs = performance.now();
    this.isPending = info.master_replid !== undefined;
    // Until the new forks are known the old ones stay. Forks of an older history never hide an event.
    if (!this.isPending)
      this.warn('Redis does not report the id of its server', 'grant INFO to the user in REDIS_URL');
    else await this.store(info);
    if (this.isPending || info.master_replid === undefined) this.forks = undefined;
  }

  /** Sends a write only after the history of its server is stored, or could not be stored. */
  storeBefore<T>(write: () => Promise<T>): Promise<T> {
    if (!this.isPending) return write();
    this.storing ??= this.storeAgain().finally(() => {
      this.storing = undefined;
    });
    return this.storing.then(write);
  }

  /**
   * This connection sees another history than a connection that was made later. The times of the forks do not say which
   * history is older, because they are from the clocks of different servers.
   */
  isBehind({ forks, connectedMs }: ServerHistories): boolean {
    const [mine, other] = [this.forks?.at(-1), forks?.at(-1)];
    return (
      mine !== undefined && other !== undefined && mine.id !== other.id && this.connectedMs < connectedMs
    );
  }

  /** The log has acknowledged this event of this process. */
  acknowledge(position: string, json: string | undefined): void {
    // An event that was sent twice is acknowledged with its first position.
    if (this.lastAcknowledged && comparePositions(position, this.lastAcknowledged.position) < 0) return;
    this.lastAcknowledged = { position, json, forks: this.forks };
  }

  /** The last acknowledged event of each connection. Each is returned once. */
  acknowledged(): ReaderPosition[] {
    const places = this.lastAcknowledged
      ? [...this.acknowledgedEarlier, this.lastAcknowledged]
      : this.acknowledgedEarlier;
    this.acknowledgedEarlier = [];
    this.lastAcknowledged = undefined;
    return places;
  }

  private async storeAgain(): Promise<void> {
    try {
      await this.store(readInfo(await this.client.info('replication')));
    } catch {
      // The write after it fails with the same error.
    }
  }

  private async store({ role, master_replid }: RedisInfo): Promise<void> {
    if (role === 'slave' || master_replid === undefined) return;
    const { text, sha } = SCRIPTS.terms;
    const rest = [2, this.keys.terms, this.keys.stream, master_replid, MAX_HISTORIES];
    try {
      const stored = await this.client.call('evalsha', [sha, ...rest]).catch((error: unknown) => {
        if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
        return this.client.call('eval', [text, ...rest]);
      });
      this.forks = forksOf(stored);
      this.isPending = false;
    } catch (error) {
      const reason = messageOf(error);
      // These errors stay until an operator acts, so it is not tried again before each write.
      if (/^(WRONGTYPE|NOPERM) /.test(reason)) this.isPending = false;
      this.forks = undefined;
      this.warn('Redis could not store where the history of its log begins', reason);
    }
  }

  private warn(what: string, reason: string): void {
    if (this.warned) return;
    this.warned = true;
    this.log.warn(`redis: ${what}, so the events that a failover loses are reported less exactly`, {
      reason,
    });
  }
}

/** Oldest first. Fields of another format are left out. */
export function forksOf(answer: unknown): Fork[] {
  const forks: Fork[] = [];
  for (const [id, value] of pairsOf(answer as string[] | Record<string, string>)) {
    const found = /^(\d+) (\d+-\d+) ([\d.]+)$/.exec(value);
    if (!found) continue;
    const [, order, position, at] = found;
    forks.push({ id, order: Number(order), position, at: Number(at) });
  }
  return forks.sort((a, b) => a.order - b.order);
}

/** The client turns the answer of HGETALL into an object, but not the answer of a script. */
function pairsOf(answer: string[] | Record<string, string>): [id: string, value: string][] {
  if (!Array.isArray(answer)) return Object.entries(answer);
  return answer.flatMap((id, i) => (i % 2 === 0 ? [[id, answer[i + 1]] as [string, string]] : []));
}
