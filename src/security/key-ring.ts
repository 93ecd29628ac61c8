/**
 * All keys in memory, so that a request with a valid key costs a hash and no round trip.
 *
 * - It follows the store by `watch`: what a replica revokes is refused by all of them within 2 s while the store is
 *   reachable.
 * - A key that is not in memory may have been made a moment ago elsewhere: it is looked up once, by its hash.
 * - While the store is away, memory answers for the grace time and then nothing does: a gate that can no longer hear of
 *   revocations closes.
 */
import { timingSafeEqual } from 'node:crypto';
import type { OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import type { Config } from '../config.js';
import { BrainError, messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { MAX_PAGE, type Page, type Store } from '../storage/store.js';
import { type ApiKey, digestOf, isExpired, isWellFormed, KEYS, MARKS } from './api-key.js';
import type { Principal } from './principal.js';

interface Entry {
  digest: Buffer;
  principal: Principal;
  expires_at: number | null;
}

/** So much of a digest finds the entry; the whole of it is then compared in constant time. */
const PREFIX_LENGTH = 16;
/** What is promised for a revocation; memory of this age counts as fresh even with a grace of 0. */
const FRESH_MS = 2000;
const RETRY_MS = 500;
/** Unknown keys that may be on their way to the store at one time. */
const MAX_LOOKUPS = 64;

export class KeyRing implements OnModuleInit, OnModuleDestroy {
  private known = new Map<string, Entry>();
  private readonly lookups = new Map<string, Promise<Entry | undefined>>();
  private readonly bootstrap: Entry | undefined;
  private readonly graceMs: number;
  /** Since when the store may hold other keys than memory does; nothing while they agree. */
  private behindSinceMs: number | undefined = 0;
  /** Grows with each change that is heard of. */
  private revision = 0;
  private reading: Promise<void> | undefined;
  private queued: Promise<void> | undefined;
  private retry: NodeJS.Timeout | undefined;
  private stop: (() => void) | undefined;
  private warned = false;

  constructor(
    private readonly store: Store,
    private readonly logger: Logger,
    settings: Pick<Config, 'bootstrapKey' | 'maxStaleSeconds'>,
  ) {
    this.graceMs = Math.max(FRESH_MS, settings.maxStaleSeconds * 1000);
    if (settings.bootstrapKey !== null) {
      const principal: Principal = { id: 'bootstrap', name: 'BRAIN_BOOTSTRAP_KEY', role: 'admin' };
      this.bootstrap = entryOf(principal, digestOf(settings.bootstrapKey), null);
      this.known.set(prefixOf(this.bootstrap.digest.toString('hex')), this.bootstrap);
    }
  }

  async onModuleInit(): Promise<void> {
    this.store.declare(KEYS);
    this.store.declare(MARKS);
    this.stop = this.store.watch(KEYS, () => void this.refresh());
    await this.refresh();
  }

  onModuleDestroy(): void {
    this.stop?.();
    clearTimeout(this.retry);
    this.retry = undefined;
    this.stop = undefined;
  }

  /** Whose key this is, from memory; nothing where memory does not know it. Throws where it knows that it is over. */
  recall(key: string): Principal | undefined {
    const digest = digestOf(key);
    const entry = this.known.get(prefixOf(digest));
    if (!entry || !timingSafeEqual(entry.digest, Buffer.from(digest, 'hex'))) return undefined;
    // What the environment says holds whatever became of the store.
    if (entry !== this.bootstrap && this.staleMs() > this.graceMs) throw stale();
    return usable(entry);
  }

  /** Whose key this is, from the store. Keys with a wrong checksum never get there. */
  async find(key: string): Promise<Principal | undefined> {
    if (!isWellFormed(key)) return undefined;
    const digest = digestOf(key);
    const entry = await (this.lookups.get(digest) ?? this.lookUp(digest));
    return entry && usable(entry);
  }

  /** A lookup of this key is on its way, and another one costs nothing. */
  isLookingFor(key: string): boolean {
    return this.lookups.size > 0 && this.lookups.has(digestOf(key));
  }

  /** Reads all keys anew; resolves when memory knows what the store knew at the call, or when that failed. */
  refresh(): Promise<void> {
    this.revision += 1;
    this.behindSinceMs ??= Date.now();
    if (!this.reading) return this.read();
    // What runs may have passed the place of the change already; all who come meanwhile share the next one.
    this.queued ??= this.reading.then(() => {
      this.queued = undefined;
      return this.read();
    });
    return this.queued;
  }

  private read(): Promise<void> {
    this.reading ??= this.readOnce().finally(() => {
      this.reading = undefined;
    });
    return this.reading;
  }

  private async readOnce(): Promise<void> {
    clearTimeout(this.retry);
    const startedMs = Date.now();
    const { revision } = this;
    try {
      this.known = await this.readAll();
      this.behindSinceMs = revision === this.revision ? undefined : startedMs;
    } catch (error) {
      if (!this.stop) return;
      this.logger.warn('The API keys could not be read; trying again.', { cause: messageOf(error) });
      this.retry = setTimeout(() => void this.refresh(), RETRY_MS).unref();
    }
  }

  private async readAll(): Promise<Map<string, Entry>> {
    const known = new Map<string, Entry>();
    let admin = false;
    let cursor: string | undefined;
    do {
      const page: Page<ApiKey> = await this.store.list(KEYS, { limit: MAX_PAGE, cursor });
      for (const key of page.rows) {
        known.set(prefixOf(key.hash), entryOfKey(key));
        admin ||= key.role === 'admin' && !isExpired(key);
      }
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    if (this.bootstrap) known.set(prefixOf(this.bootstrap.digest.toString('hex')), this.bootstrap);
    if (this.bootstrap && admin && !this.warned) {
      this.warned = true;
      this.logger.warn(
        'BRAIN_BOOTSTRAP_KEY is set although there is an admin key; remove it from the environment.',
      );
    }
    return known;
  }

  private lookUp(digest: string): Promise<Entry | undefined> {
    if (this.lookups.size >= MAX_LOOKUPS) throw busy();
    const lookup = this.fromStore(digest).finally(() => this.lookups.delete(digest));
    this.lookups.set(digest, lookup);
    return lookup;
  }

  private async fromStore(digest: string): Promise<Entry | undefined> {
    const { revision } = this;
    const key = await this.store.getUnique(KEYS, 'hash', digest);
    if (!key || key.hash !== digest) return undefined;
    const entry = entryOfKey(key);
    // A revocation that was heard of meanwhile may be that of this key: then it must not come back into memory.
    if (revision === this.revision && this.behindSinceMs === undefined)
      this.known.set(prefixOf(digest), entry);
    return entry;
  }

  private staleMs(): number {
    return Date.now() - Math.min(this.behindSinceMs ?? Number.POSITIVE_INFINITY, this.store.lastContactMs());
  }
}

function entryOfKey({ id, name, role, hash, expires_at }: ApiKey): Entry {
  return entryOf({ id, name, role }, hash, expires_at);
}

function entryOf(principal: Principal, hash: string, expires_at: number | null): Entry {
  return { principal, digest: Buffer.from(hash, 'hex'), expires_at };
}

function prefixOf(digest: string): string {
  return digest.slice(0, PREFIX_LENGTH);
}

function usable(entry: Entry): Principal {
  if (!isExpired(entry)) return entry.principal;
  const detail = 'This API key has expired; ask an admin for a new one.';
  throw new BrainError('unauthenticated', 'unauthenticated', detail);
}

function stale(): BrainError {
  const detail = 'The store has been away for too long to know whether this key is still valid; try again.';
  return new BrainError('unavailable', 'keys_stale', detail, { retryAfterSeconds: 1 });
}

function busy(): BrainError {
  const detail = 'Too many unknown keys are being looked up; try again in a second.';
  return new BrainError('unavailable', 'keys_busy', detail, { retryAfterSeconds: 1 });
}
