/**
 * Limits how often an address may try wrong keys. The guard asks it only about keys that are not in memory, so the failures
 * of one caller never delay another caller with a known key.
 */
import { Injectable } from '@nestjs/common';
import ipaddr from 'ipaddr.js';

/** Enough for a person who mistypes and for a fleet that starts with an old key, and too few for guessing. */
const ATTEMPTS_PER_MINUTE = 10;
const REFILL_PER_MS = ATTEMPTS_PER_MINUTE / 60_000;
/** About 2 MB. With more addresses than this, those without an attempt for the longest time are forgotten. */
const MAX_ADDRESSES = 10_000;
/** Lookups in the store that all throttled addresses together may still cause. */
const SPARE_PER_SECOND = 20;
const LOG_EVERY_MS = 1000;

interface Bucket {
  tokens: number;
  atMs: number;
  /** Failures since the last line in the log. */
  unlogged: number;
  loggedMs: number;
}

@Injectable()
export class Throttle {
  private readonly buckets = new Map<string, Bucket>();
  private spare = { left: SPARE_PER_SECOND, sinceMs: 0 };

  /** Takes one attempt from an address. Returns the seconds to wait where none is left, else 0. */
  take(address: string): number {
    const bucket = this.bucketOf(address);
    if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) / REFILL_PER_MS / 1000);
    bucket.tokens -= 1;
    return 0;
  }

  /** Returns an attempt that was no failure. */
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

  /** Counts a failure. Returns how many failures to log now, 0 where this address was logged less than a second ago. */
  failed(address: string): number {
    const bucket = this.bucketOf(address);
    bucket.unlogged += 1;
    const nowMs = performance.now();
    if (nowMs - bucket.loggedMs < LOG_EVERY_MS) return 0;
    const { unlogged } = bucket;
    bucket.unlogged = 0;
    bucket.loggedMs = nowMs;
    return unlogged;
  }

  /** Filled up to now, and moved to the end of the map, whose first entries are the addresses to forget first. */
  private bucketOf(address: string): Bucket {
    const nowMs = performance.now();
    const bucket = this.buckets.get(address) ?? {
      tokens: ATTEMPTS_PER_MINUTE,
      atMs: nowMs,
      unlogged: 0,
      loggedMs: Number.NEGATIVE_INFINITY,
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
  // Behind a trusted proxy that passes on anything it may be any text of any length.
  if (ip === undefined || !isAddress(ip)) return UNKNOWN;
  const address = ipaddr.process(ip);
  if (address instanceof ipaddr.IPv4) return address.toString();
  const network = address.parts.slice(0, 4).map((part) => part.toString(16));
  return `${network.join(':')}::/64`;
}

/** Only the usual form of IPv4: the library would also take 10 or 0x7f.1. */
function isAddress(ip: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(ip) || ipaddr.IPv6.isValid(ip);
}
