/**
 * Which history of the log a connection sees. Each server that takes writes begins one, and `scripts/terms.lua` notes where: what
 * an older history had behind that place is lost, what stands there now is new.
 */
import type { Redis } from 'ioredis';
import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { comparePositions, type Fork, type Place } from '../event-log.js';
import { type RedisInfo, readInfo } from './health.js';
import type { RedisKeys } from './keys.js';
import { SCRIPTS } from './scripts.js';

/** More than a reader can have slept through. */
const KEPT = 100;

export class Terms {
  /** Of the history that this connection sees; nothing where Redis does not tell which server it is. */
  forks: Fork[] | undefined;
  /** The history has not been noted yet: the server is a replica, or refused it. */
  due = false;
  private settling: Promise<void> | undefined;
  private told = false;
  private last: Place | undefined;
  private earlier: Place[] = [];

  constructor(
    private readonly client: Redis,
    private readonly keys: RedisKeys,
    private readonly log: Pick<Logger, 'warn'>,
  ) {}

  /** On every connection, before the first write. Never fails: what cannot be noted now is tried again before each write. */
  async begin(info: RedisInfo): Promise<void> {
    if (this.last) this.earlier = [...this.earlier, this.last].slice(-KEPT);
    this.last = undefined;
    this.due = info.master_replid !== undefined;
    // Until the new one is known the old one stands, which is older: that never hides an event.
    if (!this.due) this.warn('Redis does not say which server it is', 'grant INFO to the user in REDIS_URL');
    else await this.note(info);
    if (this.due || info.master_replid === undefined) this.forks = undefined;
  }

  /** Before a write, while the history has not been noted. */
  settle(): Promise<void> {
    this.settling ??= this.again().finally(() => {
      this.settling = undefined;
    });
    return this.settling;
  }

  /** The history that this connection sees began before that of the other. */
  isBehind({ forks }: Terms): boolean {
    const [mine, other] = [this.forks?.at(-1), forks?.at(-1)];
    return mine !== undefined && other !== undefined && mine.id !== other.id && mine.at < other.at;
  }

  /** The log has this event of ours. */
  acknowledge(position: string, json: string | undefined): void {
    // One that was sent twice is answered with where it stood the first time.
    if (this.last && comparePositions(position, this.last.position) < 0) return;
    this.last = { position, json, forks: this.forks };
  }

  /** The last acknowledged event of each connection; each is told once. */
  acknowledged(): Place[] {
    const places = this.last ? [...this.earlier, this.last] : this.earlier;
    this.earlier = [];
    this.last = undefined;
    return places;
  }

  private async again(): Promise<void> {
    try {
      await this.note(readInfo(await this.client.info('replication')));
    } catch {
      // The write that comes behind it tells what is wrong.
    }
  }

  private async note({ role, master_replid }: RedisInfo): Promise<void> {
    if (role === 'slave' || master_replid === undefined) return;
    const { text, sha } = SCRIPTS.terms;
    const rest = [2, this.keys.terms, this.keys.stream, master_replid, KEPT];
    try {
      const terms = await this.client.call('evalsha', [sha, ...rest]).catch((error: unknown) => {
        if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
        return this.client.call('eval', [text, ...rest]);
      });
      this.forks = forksOf(terms);
      this.due = false;
    } catch (error) {
      const reason = messageOf(error);
      // These do not pass by themselves.
      if (/^(WRONGTYPE|NOPERM) /.test(reason)) this.due = false;
      this.forks = undefined;
      this.warn('Redis could not note where the history of its log begins', reason);
    }
  }

  private warn(what: string, reason: string): void {
    if (this.told) return;
    this.told = true;
    this.log.warn(`redis: ${what}; what a failover takes back is then told less exactly`, { reason });
  }
}

/** Oldest first. What is no term of ours is passed over. */
export function forksOf(answer: unknown): Fork[] {
  const forks: Fork[] = [];
  for (const [id, term] of pairsOf(answer as string[] | Record<string, string>)) {
    const found = /^(\d+) (\d+-\d+) ([\d.]+)$/.exec(term);
    if (!found) continue;
    const [, order, position, at] = found;
    forks.push({ id, order: Number(order), position, at: Number(at) });
  }
  return forks.sort((a, b) => a.order - b.order);
}

/** The client makes an object of a hash that it reads, and leaves one that a script returns as it is. */
function pairsOf(answer: string[] | Record<string, string>): [id: string, term: string][] {
  if (!Array.isArray(answer)) return Object.entries(answer);
  return answer.flatMap((id, i) => (i % 2 === 0 ? [[id, answer[i + 1]] as [string, string]] : []));
}
