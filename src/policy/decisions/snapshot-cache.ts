/**
 * Keeps the compiled policies in the memory of this replica.
 *
 * - It follows the store with a `FollowedCache`: after a write, all replicas decide by it within a second.
 * - It reads and compiles only what changed, in slices. The current snapshot stays in use until the new one is ready.
 * - While the store cannot be reached, decisions go on for the grace time and are marked as stale. After that it refuses:
 *   a replica that cannot see changes must not allow anything.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { atMost } from '../../shared/clock.js';
import { Logger } from '../../shared/logger.js';
import { inSlices } from '../../shared/time-slices.js';
import { FollowedCache } from '../../storage/followed-cache.js';
import { type Page, Store } from '../../storage/store.js';
import { PolicyEditor } from '../admin/editor.js';
import {
  CURRENT,
  POLICIES,
  POLICY_REVISIONS,
  POLICY_SET,
  type PolicyRevision,
  type PolicySet,
  pageSizeFor,
} from '../admin/policy.collection.js';
import { compileInSlices } from '../engine/compile.js';
import type { Policy } from '../engine/policy.dto.js';
import type { Snapshot } from '../engine/snapshot.js';
import { notRead, stalePolicies } from '../policy.errors.js';

interface Read {
  set: PolicySet;
  policies: ReadonlyMap<string, Policy>;
}

interface Cached extends Read {
  snapshot: Snapshot;
}

/** A replica that missed more changes reads all policies instead. */
const MAX_CHANGES = 200;
const NOTHING: PolicySet = { id: CURRENT, revision: 0, tag: '', policies: 0, rules: 0 };

@Injectable()
export class SnapshotCache implements OnModuleInit, OnModuleDestroy {
  private readonly cache: FollowedCache<Cached, PolicySet>;

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) { maxStaleSeconds }: Config,
    private readonly editor: PolicyEditor,
    logger: Logger,
  ) {
    this.cache = new FollowedCache(store, logger, {
      collection: POLICY_SET,
      what: 'the policies',
      maxStaleSeconds,
      read: (cached) => this.read(cached),
    });
  }

  onModuleInit(): Promise<void> {
    return this.cache.start();
  }

  onModuleDestroy(): void {
    this.cache.stop();
  }

  /** The snapshot to decide by. Throws when it is too old, or not read yet. */
  current(): { snapshot: Snapshot; stale: boolean } {
    const cached = this.cache.value;
    if (!cached) throw notRead();
    const freshness = this.cache.freshness();
    if (freshness === 'expired') throw stalePolicies();
    return { snapshot: cached.snapshot, stale: freshness === 'stale' };
  }

  /** Reads the changes; resolves when the read has finished or failed. */
  refresh(): Promise<void> {
    return this.cache.refresh();
  }

  /** The revision of the set of policies in memory. */
  get revision(): number {
    return this.cache.value?.set.revision ?? 0;
  }

  /** Waits until memory has at least this revision of the set. @returns false if that takes longer */
  async waitFor(revision: number, ms: number): Promise<boolean> {
    const endMs = performance.now() + ms;
    if (this.revision < revision) void this.cache.refresh();
    while (this.revision < revision && performance.now() < endMs) {
      const { done, forget } = this.cache.nextRead();
      await atMost(endMs - performance.now(), done);
      forget();
    }
    return this.revision >= revision;
  }

  private async read(cached: Cached | undefined): Promise<Cached> {
    await this.editor.prepare();
    const current = await this.readSet();
    if (cached?.set.tag === current.tag) return cached;
    const { set, policies } = (cached && (await this.readChanges(cached, current))) ?? (await this.readAll());
    const options = { previous: cached?.snapshot, revision: set.revision };
    return { set, policies, snapshot: await inSlices(compileInSlices(policies.values(), options)) };
  }

  /** Applies all changes up to this set. Returns `undefined` when the chain of changes does not lead there (ADR 5). */
  private async readChanges(old: Read, set: PolicySet): Promise<Read | undefined> {
    const missed = set.revision - old.set.revision;
    if (missed <= 0 || missed > MAX_CHANGES) return undefined;
    const policies = new Map(old.policies);
    let { tag } = old.set;
    const limit = pageSizeFor(set);
    let cursor: string | undefined;
    do {
      const page: Page<PolicyRevision> = await this.store.list(POLICY_REVISIONS, {
        from: old.set.revision + 1,
        until: set.revision,
        direction: 'asc',
        limit,
        cursor,
      });
      await turn();
      for (const change of page.rows) {
        // A change continues the chain if it belongs to the last write, or names that write as the one before it.
        if (change.before !== tag && change.tag !== tag) return undefined;
        tag = change.tag;
        if (change.policy) policies.set(change.policy_id, change.policy);
        else policies.delete(change.policy_id);
      }
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    // Retention may have removed a deletion of a write whose other changes remain; then the number of policies differs.
    return tag === set.tag && policies.size === set.policies ? { set, policies } : undefined;
  }

  /**
   * Reads all policies page by page, then applies the changes that were written during the reading. That makes the pages
   * consistent, because each revision has its whole policy. Throws when the changes do not lead to the current set.
   */
  private async readAll(): Promise<Read> {
    const set = await this.readSet();
    const limit = pageSizeFor(set);
    const policies = new Map<string, Policy>();
    let cursor: string | undefined;
    do {
      const page: Page<Policy> = await this.store.list(POLICIES, { direction: 'asc', limit, cursor });
      await turn();
      for (const policy of page.rows) policies.set(policy.policy_id, policy);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    const after = await this.readSet();
    if (after.tag === set.tag) return { set, policies };
    const consistent = await this.readChanges({ set, policies }, after);
    if (!consistent) throw new Error('too many policies changed during the reading');
    return consistent;
  }

  private async readSet(): Promise<PolicySet> {
    return (await this.store.get(POLICY_SET, CURRENT)) ?? NOTHING;
  }
}
