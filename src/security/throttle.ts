/**
 * Slows down whoever tries wrong keys, address by address. It is asked only about keys that are not known: what is
 * known passes before it, so nobody's failures stand in the way of a valid key.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { Injectable } from '@nestjs/common';

/** A person who mistypes, or a fleet that starts with an old key, gets by; a guesser does not. */
const ATTEMPTS_PER_MINUTE = 10;
const REFILL_PER_MS = ATTEMPTS_PER_MINUTE / 60_000;
/** About 2 MB. Whoever has more addresses than this pushes out the ones that were quiet for longest. */
const MAX_ADDRESSES = 10_000;
/** What all throttled addresses together may still ask of the store. */
const SPARE_PER_SECOND = 20;
const LOG_EVERY_MS = 1000;

interface Bucket {
  tokens: number;
  atMs: number;
  /** Failures since the last line in the log. */
  untold: number;
  toldMs: number;
}

@Injectable()
export class Throttle {
  private readonly buckets = new Map<string, Bucket>();
  private spare = { left: SPARE_PER_SECOND, sinceMs: 0 };

  /** Takes one attempt from an address; the seconds it has to wait when it has none left, else 0. */
  take(address: string): number {
    const bucket = this.bucketOf(address);
    if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) / REFILL_PER_MS / 1000);
    bucket.tokens -= 1;
    return 0;
  }

  /** The attempt was no failure after all. */
  giveBack(address: string): void {
    const bucket = this.bucketOf(address);
    bucket.tokens = Math.min(ATTEMPTS_PER_MINUTE, bucket.tokens + 1);
  }

  /**
   * Whether a throttled address may have one more key looked up. A key that another replica made a moment ago must
   * work also behind the same router as a broken client, but the store must not pay for every guess.
   */
  takeSpare(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.spare.sinceMs >= 1000) this.spare = { left: SPARE_PER_SECOND, sinceMs: nowMs };
    if (this.spare.left === 0) return false;
    this.spare.left -= 1;
    return true;
  }

  /** Counts a failure; how many the log should tell of now, 0 where it was told of this address a moment ago. */
  failed(address: string): number {
    const bucket = this.bucketOf(address);
    bucket.untold += 1;
    const nowMs = performance.now();
    if (nowMs - bucket.toldMs < LOG_EVERY_MS) return 0;
    const { untold } = bucket;
    bucket.untold = 0;
    bucket.toldMs = nowMs;
    return untold;
  }

  /** Filled up to now, and moved to the end of the map: the addresses that were quiet for longest stand in front. */
  private bucketOf(address: string): Bucket {
    const nowMs = performance.now();
    const bucket = this.buckets.get(address) ?? {
      tokens: ATTEMPTS_PER_MINUTE,
      atMs: nowMs,
      untold: 0,
      toldMs: Number.NEGATIVE_INFINITY,
    };
    bucket.tokens = Math.min(ATTEMPTS_PER_MINUTE, bucket.tokens + (nowMs - bucket.atMs) * REFILL_PER_MS);
    bucket.atMs = nowMs;
    this.buckets.delete(address);
    this.buckets.set(address, bucket);
    if (this.buckets.size > MAX_ADDRESSES) {
      for (const oldest of this.buckets.keys()) {
        this.buckets.delete(oldest);
        break;
      }
    }
    return bucket;
  }
}

const UNKNOWN = 'unknown';

/** One household is one address: with IPv6 it has a /64, and every request could come from a new address in it. */
export function addressOf(ip: string | undefined): string {
  if (ip === undefined) return UNKNOWN;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1];
  if (mapped) return mapped;
  const [plain = ''] = ip.split('%');
  if (isIPv4(plain)) return plain;
  // Behind a proxy that was told to be trusted and passes on anything, it may be any text of any length.
  if (!isIPv6(plain)) return UNKNOWN;
  const [head = '', tail] = plain.toLowerCase().split('::');
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const all = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  return `${all.slice(0, 4).join(':')}::/64`;
}

/** A dotted IPv4 at the end stands for two groups; its value does not matter, since it lies outside the /64. */
function groups(part: string): string[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (group.includes('.')) return ['0', '0'];
    return Number.parseInt(group, 16).toString(16);
  });
}
