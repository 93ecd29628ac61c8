/**
 * Keeps all keys in memory, so that a request with a valid key costs a hash and no round trip.
 *
 * - A `FollowedCache` keeps them: while the store can be reached, all replicas refuse a revoked key within a second.
 * - A key that is not in memory may just have been made on another replica. It is looked up once, by its digest.
 * - While the store cannot be reached, memory is used for the grace time. After that every key is refused, because it may
 *   have been revoked.
 */
import { timingSafeEqual } from 'node:crypto';
import type { OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import type { Config } from '../config/config.js';
import { BrainError } from '../shared/errors.js';
import { IdList } from '../shared/id-list.js';
import { LogOnce, ONCE } from '../shared/log-once.js';
import type { Logger } from '../shared/logger.js';
import { FollowedCache } from '../storage/followed-cache.js';
import { MAX_PAGE, type Page, type Store } from '../storage/store.js';
import {
  type ApiKey,
  DEFAULT_LISTS,
  digestOf,
  isExpired,
  isWellFormedKey,
  KEYS,
  type KeyLists,
  listsOf,
  MILESTONES,
  principalOf,
} from './api-key.js';
import type { KnownAgents, Principal } from './principal.js';

interface Entry {
  digest: Buffer;
  principal: Principal;
  expires_at: number | null;
}

/** How many characters of a digest are the key of the map. */
const PREFIX_LENGTH = 16;
/** How many unknown keys may be looked up at one time. */
const MAX_LOOKUPS = 64;

type Entries = Map<string, Entry>;

/** A key that is in memory. */
export interface KnownKey {
  principal: Principal;
  /** It may have been revoked more than a second ago, because the store cannot be reached. */
  stale: boolean;
}

export class KeyRing implements KnownAgents, OnModuleInit, OnModuleDestroy {
  private readonly cache: FollowedCache<Entries, ApiKey>;
  private readonly lookups = new Map<string, Promise<Entry | undefined>>();
  private readonly bootstrap: Entry | undefined;
  /** The ids of the agent keys of earlier releases whose name is their agent. */
  private ownNamed: ReadonlySet<string> = new Set();
  private readonly warning = new LogOnce(ONCE);

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
      const all = new IdList(DEFAULT_LISTS.admin.agent_roles);
      const who = { id: 'bootstrap', name: 'BRAIN_BOOTSTRAP_KEY', role: 'admin', owner: null } as const;
      const principal: Principal = { ...who, agents: all, agentRoles: all };
      this.bootstrap = entryOf(principal, digestOf(bootstrapKey), null);
    }
  }

  async onModuleInit(): Promise<void> {
    this.store.declare(KEYS);
    this.store.declare(MILESTONES);
    await this.cache.start();
  }

  onModuleDestroy(): void {
    this.cache.stop();
  }

  /** Reads all keys again. Resolves when memory has every commit before the call, or when the read has failed. */
  refresh(): Promise<void> {
    return this.cache.refresh();
  }

  /** Finds the principal of a key in memory. Undefined if the key is not there. Throws if the key has expired. */
  recall(key: string): KnownKey | undefined {
    const digest = digestOf(key);
    const bytes = Buffer.from(digest, 'hex');
    // The bootstrap key comes from the environment and does not depend on the store.
    if (isOf(this.bootstrap, bytes)) return { principal: this.bootstrap.principal, stale: false };
    const entry = this.cache.value?.get(prefixOf(digest));
    if (!isOf(entry, bytes)) return undefined;
    const freshness = this.cache.freshness();
    if (freshness === 'expired') throw stale();
    return { principal: this.usable(entry), stale: freshness === 'stale' };
  }

  /** Finds the principal of a key in the store. A key with a wrong checksum is not looked up. */
  async find(key: string): Promise<Principal | undefined> {
    if (!isWellFormedKey(key)) return undefined;
    const digest = digestOf(key);
    const entry = await (this.lookups.get(digest) ?? this.lookUp(digest));
    return entry && this.usable(entry);
  }

  /** Whether a lookup of this key is running, so that another caller can share it. */
  isLookingFor(key: string): boolean {
    return this.lookups.size > 0 && this.lookups.has(digestOf(key));
  }

  /** What a key may name, as this replica sees it. */
  listsOf(key: ApiKey): KeyLists {
    return listsOf(key, this.ownNamed.has(key.id));
  }

  exactAgents(limit: number): ReadonlySet<string> {
    const found = new Set<string>();
    const clock = this.store.clock();
    for (const { principal, expires_at } of this.cache.value?.values() ?? []) {
      if (isExpired({ expires_at }, clock)) continue;
      for (const entry of principal.agents.entries) {
        if (found.size >= limit) return found;
        if (!entry.endsWith('*')) found.add(entry);
      }
    }
    return found;
  }

  private async readAll(): Promise<Entries> {
    const keys: ApiKey[] = [];
    let cursor: string | undefined;
    do {
      const page: Page<ApiKey> = await this.store.list(KEYS, { limit: MAX_PAGE, cursor });
      keys.push(...page.rows);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    const live = keys.filter((key) => !isExpired(key, this.store.clock()));
    this.ownNamed = ownNamed(live);
    const known: Entries = new Map(keys.map((key) => [prefixOf(key.hash), this.entryOfKey(key)]));
    const admin = live.some(({ role }) => role === 'admin');
    if (this.bootstrap && admin && this.warning.isDue()) {
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
    const entry = this.entryOfKey(key);
    // A change that was reported during the lookup may be the revocation of this key. Then it is not kept.
    if (changes === this.cache.changes && this.cache.isCurrent)
      this.cache.value?.set(prefixOf(digest), entry);
    return entry;
  }

  private entryOfKey(key: ApiKey): Entry {
    return entryOf(principalOf(key, this.listsOf(key)), key.hash, key.expires_at);
  }

  private usable(entry: Entry): Principal {
    if (entry.expires_at === null || !isExpired(entry, this.store.clock())) return entry.principal;
    const detail = 'This API key has expired; ask an admin for a new one.';
    throw new BrainError('unauthenticated', 'unauthenticated', detail);
  }
}

/**
 * An agent key of an earlier release speaks for the agent of its name if no other key has this name. Keys with lists do not
 * count: making one must not take the agent from a key that is in use.
 */
function ownNamed(live: readonly ApiKey[]): Set<string> {
  const old = live.filter(({ agents }) => agents === undefined);
  const holders = new Map<string, number>();
  for (const { name } of old) holders.set(name, (holders.get(name) ?? 0) + 1);
  return new Set(old.filter(({ name }) => holders.get(name) === 1).map(({ id }) => id));
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
  const detail =
    'The keys in memory are too old to check by. Check the connection to the store; once it works, try again in a second.';
  return new BrainError('unavailable', 'keys_stale', detail, { retryAfterSeconds: 1 });
}

function busy(): BrainError {
  const detail = 'Too many unknown keys are being looked up; try again in a second.';
  return new BrainError('unavailable', 'keys_busy', detail, { retryAfterSeconds: 1 });
}
