/**
 * Limits how often an address may try wrong keys. The guard uses it only for keys that are not in memory, so the failures of
 * one caller never delay another caller with a known key.
 */
import { Injectable } from '@nestjs/common';
import ipaddr from 'ipaddr.js';

/** Enough for a person who mistypes and for a fleet that starts with an old key, but too few to guess a key. */
const ATTEMPTS_PER_MINUTE = 10;
const REFILL_PER_MS = ATTEMPTS_PER_MINUTE / 60_000;
/** About 2 MB. With more addresses the one without an attempt for the longest time is removed. */
const MAX_ADDRESSES = 10_000;
/** How many lookups in the store all throttled addresses may cause together. */
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

  /** Uses one attempt of an address. Returns the seconds to wait if none is left, else 0. */
  take(address: string): number {
    const bucket = this.bucketOf(address);
    if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) / REFILL_PER_MS / 1000);
    bucket.tokens -= 1;
    return 0;
  }

  /** The attempt was no failure, so the address gets it back. */
  giveBack(address: string): void {
    const bucket = this.bucketOf(address);
    bucket.tokens = Math.min(ATTEMPTS_PER_MINUTE, bucket.tokens + 1);
  }

  /**
   * Whether one more key of a throttled address may be looked up. A new key of another replica must work behind the same
   * router as a broken client, but not every guess may cause a lookup in the store.
   */
  takeSpare(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.spare.sinceMs >= 1000) this.spare = { left: SPARE_PER_SECOND, sinceMs: nowMs };
    if (this.spare.left === 0) return false;
    this.spare.left -= 1;
    return true;
  }

  /** Counts a failure. Returns how many failures to log now, or 0 if this address was logged less than a second ago. */
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

  /** Fills the bucket up to now and moves it to the end of the map. The first entries of the map are removed first. */
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

/** With IPv6 one household has a /64, and each of its requests could have another address. So the /64 counts as one address. */
export function addressOf(ip: string | undefined): string {
  // A trusted proxy may pass on any text of any length.
  if (ip === undefined || !isAddress(ip)) return UNKNOWN;
  const address = ipaddr.process(ip);
  if (address instanceof ipaddr.IPv4) return address.toString();
  const network = address.parts.slice(0, 4).map((part) => part.toString(16));
  return `${network.join(':')}::/64`;
}

/** Only the usual form of IPv4. The library would also accept 10 or 0x7f.1. */
function isAddress(ip: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(ip) || ipaddr.IPv6.isValid(ip);
}
