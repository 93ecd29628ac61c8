/**
 * All keys in memory, so that a request with a valid key costs a hash and no round trip.
 *
 * - A `FollowedCache` keeps them: what a replica revokes is refused by all of them within a second while the store is
 *   reachable.
 * - A key that is not in memory may have been made a moment ago elsewhere: it is looked up once, by its hash.
 * - While the store is away, memory answers for the grace time and then nothing does: a gate that can no longer hear of
 *   revocations closes.
 */
import { timingSafeEqual } from 'node:crypto';
import type { OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import type { Config } from '../config/config.js';
import { BrainError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { FollowedCache } from '../storage/followed-cache.js';
import { MAX_PAGE, type Page, type Store } from '../storage/store.js';
import { type ApiKey, digestOf, isExpired, isWellFormed, KEYS, MARKS } from './api-key.js';
import type { Principal } from './principal.js';

interface Entry {
  digest: Buffer;
  principal: Principal;
  expires_at: number | null;
}

/** So much of a digest finds the entry. */
const PREFIX_LENGTH = 16;
/** Unknown keys that may be on their way to the store at one time. */
const MAX_LOOKUPS = 64;

type Entries = Map<string, Entry>;

/** A key that memory knows. */
export interface KnownKey {
  principal: Principal;
  /** It may have been revoked more than a second ago: the store is away. */
  stale: boolean;
}

export class KeyRing implements OnModuleInit, OnModuleDestroy {
  private readonly cache: FollowedCache<Entries, ApiKey>;
  private readonly lookups = new Map<string, Promise<Entry | undefined>>();
  private readonly bootstrap: Entry | undefined;
  private warned = false;

  constructor(
    private readonly store: Store,
    private readonly logger: Logger,
    { bootstrapKey, maxStaleSeconds }: Pick<Config, 'bootstrapKey' | 'maxStaleSeconds'>,
  ) {
    this.cache = new FollowedCache(store, logger, {
      collection: KEYS,
      what: 'the API keys',
      maxStaleSeconds,
      read: () => this.readAll(),
    });
    if (bootstrapKey !== null) {
      const principal: Principal = { id: 'bootstrap', name: 'BRAIN_BOOTSTRAP_KEY', role: 'admin' };
      this.bootstrap = entryOf(principal, digestOf(bootstrapKey), null);
    }
  }

  async onModuleInit(): Promise<void> {
    this.store.declare(KEYS);
    this.store.declare(MARKS);
    await this.cache.start();
  }

  onModuleDestroy(): void {
    this.cache.stop();
  }

  /** Reads all keys again; resolves when memory has what was committed before the call, or when that failed. */
  refresh(): Promise<void> {
    return this.cache.refresh();
  }

  /** Whose key this is, from memory; nothing where memory does not know it. Throws where it knows that it is over. */
  recall(key: string): KnownKey | undefined {
    const digest = digestOf(key);
    const bytes = Buffer.from(digest, 'hex');
    // The environment says who this is, whatever became of the store.
    if (isOf(this.bootstrap, bytes)) return { principal: this.bootstrap.principal, stale: false };
    const entry = this.cache.value?.get(prefixOf(digest));
    if (!isOf(entry, bytes)) return undefined;
    const freshness = this.cache.freshness();
    if (freshness === 'expired') throw stale();
    return { principal: this.usable(entry), stale: freshness === 'stale' };
  }

  /** Whose key this is, from the store. Keys with a wrong checksum never get there. */
  async find(key: string): Promise<Principal | undefined> {
    if (!isWellFormed(key)) return undefined;
    const digest = digestOf(key);
    const entry = await (this.lookups.get(digest) ?? this.lookUp(digest));
    return entry && this.usable(entry);
  }

  /** A lookup of this key is on its way, and another one costs nothing. */
  isLookingFor(key: string): boolean {
    return this.lookups.size > 0 && this.lookups.has(digestOf(key));
  }

  private async readAll(): Promise<Entries> {
    const known: Entries = new Map();
    let admin = false;
    let cursor: string | undefined;
    do {
      const page: Page<ApiKey> = await this.store.list(KEYS, { limit: MAX_PAGE, cursor });
      for (const key of page.rows) {
        known.set(prefixOf(key.hash), entryOfKey(key));
        admin ||= key.role === 'admin' && !isExpired(key, this.store.clock());
      }
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
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
    const { changes } = this.cache;
    const key = await this.store.getUnique(KEYS, 'hash', digest);
    if (!key || key.hash !== digest) return undefined;
    const entry = entryOfKey(key);
    // A change that was reported during the lookup may be the revocation of this key, which must not come back.
    if (changes === this.cache.changes && this.cache.isCurrent)
      this.cache.value?.set(prefixOf(digest), entry);
    return entry;
  }

  private usable(entry: Entry): Principal {
    if (entry.expires_at === null || !isExpired(entry, this.store.clock())) return entry.principal;
    const detail = 'This API key has expired; ask an admin for a new one.';
    throw new BrainError('unauthenticated', 'unauthenticated', detail);
  }
}

function entryOfKey({ id, name, role, hash, expires_at }: ApiKey): Entry {
  return entryOf({ id, name, role }, hash, expires_at);
}

function entryOf(principal: Principal, hash: string, expires_at: number | null): Entry {
  return { principal, digest: Buffer.from(hash, 'hex'), expires_at };
}

/** The whole digest is compared, in constant time. */
function isOf(entry: Entry | undefined, digest: Buffer): entry is Entry {
  return entry !== undefined && timingSafeEqual(entry.digest, digest);
}

function prefixOf(digest: string): string {
  return digest.slice(0, PREFIX_LENGTH);
}

function stale(): BrainError {
  const detail = 'The store has been away for too long to know whether this key is still valid; try again.';
  return new BrainError('unavailable', 'keys_stale', detail, { retryAfterSeconds: 1 });
}

function busy(): BrainError {
  const detail = 'Too many unknown keys are being looked up; try again in a second.';
  return new BrainError('unavailable', 'keys_busy', detail, { retryAfterSeconds: 1 });
}
