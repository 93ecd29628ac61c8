/**
 * Token buckets, one for each name: a bucket holds at most `capacity` tokens and gets `perSecond` of them. Whoever finds a
 * token may take several at once; the bucket then owes them, and the next one waits.
 */

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Above this number the full buckets are removed: a missing bucket counts as full. */
const MAX_BUCKETS = 20_000;

export class TokenBuckets {
  private readonly buckets = new Map<string, Bucket>();

  constructor(
    readonly perSecond: number,
    readonly capacity: number,
  ) {}

  /** Takes tokens if there is at least one, and returns 0. Else it takes none, and returns the seconds until there is one. */
  take(name: string, count = 1): number {
    const bucket = this.filled(name);
    if (bucket.tokens < 1) return (1 - bucket.tokens) / this.perSecond;
    bucket.tokens -= count;
    return 0;
  }

  /** Takes tokens, also such as are not there. */
  charge(name: string, count: number): void {
    this.filled(name).tokens -= count;
  }

  /** The whole tokens that are left. */
  left(name: string): number {
    return Math.max(0, Math.floor(this.filled(name).tokens));
  }

  /** The seconds until the bucket is full again. */
  secondsToFull(name: string): number {
    return (this.capacity - this.filled(name).tokens) / this.perSecond;
  }

  private filled(name: string): Bucket {
    const atMs = performance.now();
    const bucket = this.buckets.get(name);
    if (!bucket) return this.add(name, atMs);
    bucket.tokens = Math.min(this.capacity, bucket.tokens + ((atMs - bucket.atMs) / 1000) * this.perSecond);
    bucket.atMs = atMs;
    return bucket;
  }

  private add(name: string, atMs: number): Bucket {
    if (this.buckets.size >= MAX_BUCKETS) this.removeFull(atMs);
    const bucket = { tokens: this.capacity, atMs };
    this.buckets.set(name, bucket);
    return bucket;
  }

  /** If none is full, the oldest one is removed, so that the memory stays bounded. */
  private removeFull(nowMs: number): void {
    for (const [name, { tokens, atMs }] of this.buckets)
      if (tokens + ((nowMs - atMs) / 1000) * this.perSecond >= this.capacity) this.buckets.delete(name);
    if (this.buckets.size < MAX_BUCKETS) return;
    const [[oldest]] = this.buckets;
    this.buckets.delete(oldest);
  }
}
