/**
 * The policies of the store, compiled, in the memory of this replica.
 *
 * - A `FollowedCache` keeps them: what one replica writes, all of them decide by within a second.
 * - Only what changed is read and compiled, in slices; the snapshot in use stays until the new one is ready.
 * - While the store is away, memory answers for the grace time and says so; then nothing does: a gate that can no longer
 *   hear of a change closes.
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
  pageOf,
} from '../admin/policy.collection.js';
import { compileInSlices } from '../engine/compile.js';
import type { Policy } from '../engine/policy.dto.js';
import type { Snapshot } from '../engine/snapshot.js';
import { notRead, stalePolicies } from '../policy.errors.js';

interface Read {
  set: PolicySet;
  policies: ReadonlyMap<string, Policy>;
}

interface Held extends Read {
  snapshot: Snapshot;
}

/** So many changes are read one by one; who missed more reads the policies themselves. */
const MAX_CHANGES = 200;
const NOTHING: PolicySet = { id: CURRENT, revision: 0, tag: '', policies: 0, rules: 0 };

@Injectable()
export class SnapshotCache implements OnModuleInit, OnModuleDestroy {
  private readonly cache: FollowedCache<Held, PolicySet>;

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
      read: (held) => this.read(held),
    });
  }

  onModuleInit(): Promise<void> {
    return this.cache.start();
  }

  onModuleDestroy(): void {
    this.cache.stop();
  }

  /** What decisions are made by now. Throws where memory may not answer any more, or cannot yet. */
  current(): { snapshot: Snapshot; stale: boolean } {
    const held = this.cache.value;
    if (!held) throw notRead();
    const freshness = this.cache.freshness();
    if (freshness === 'expired') throw stalePolicies();
    return { snapshot: held.snapshot, stale: freshness === 'stale' };
  }

  /** Reads again what has changed; resolves when that is done, or has failed. */
  refresh(): Promise<void> {
    return this.cache.refresh();
  }

  get revision(): number {
    return this.cache.value?.set.revision ?? 0;
  }

  /** Waits until memory holds at least this revision of the set; false where that takes longer. */
  async reach(revision: number, ms: number): Promise<boolean> {
    const endMs = performance.now() + ms;
    if (this.revision < revision) void this.cache.refresh();
    while (this.revision < revision && performance.now() < endMs) {
      const { done, forget } = this.cache.nextRead();
      await atMost(endMs - performance.now(), done);
      forget();
    }
    return this.revision >= revision;
  }

  private async read(held: Held | undefined): Promise<Held> {
    await this.editor.prepare();
    const found = await this.found();
    if (held?.set.tag === found.tag) return held;
    const { set, policies } = (held && (await this.changed(held, found))) ?? (await this.whole());
    const options = { previous: held?.snapshot, revision: set.revision };
    return { set, policies, snapshot: await inSlices(compileInSlices(policies.values(), options)) };
  }

  /** What is held with all changes up to this set; nothing where they do not lead from the one to the other. */
  private async changed(held: Read, set: PolicySet): Promise<Read | undefined> {
    if (set.revision <= held.set.revision || set.revision - held.set.revision > MAX_CHANGES) return undefined;
    const policies = new Map(held.policies);
    let { tag } = held.set;
    const limit = pageOf(set);
    let cursor: string | undefined;
    do {
      const page: Page<PolicyRevision> = await this.store.list(POLICY_REVISIONS, {
        from: held.set.revision + 1,
        until: set.revision,
        direction: 'asc',
        limit,
        cursor,
      });
      await turn();
      for (const change of page.rows) {
        // One write may change several policies; each write names the one before it.
        if (change.before !== tag && change.tag !== tag) return undefined;
        tag = change.tag;
        if (change.policy) policies.set(change.policy_id, change.policy);
        else policies.delete(change.policy_id);
      }
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    // A deletion that is too old is forgotten, though what one write did besides may be kept: then the numbers differ.
    return tag === set.tag && policies.size === set.policies ? { set, policies } : undefined;
  }

  /**
   * All policies, read page by page and then brought to the set that is found behind them: what others write meanwhile makes
   * no page wrong for long, since each revision holds its policy whole. Throws where the changes do not lead there.
   */
  private async whole(): Promise<Read> {
    const set = await this.found();
    const limit = pageOf(set);
    const policies = new Map<string, Policy>();
    let cursor: string | undefined;
    do {
      const page: Page<Policy> = await this.store.list(POLICIES, { direction: 'asc', limit, cursor });
      await turn();
      for (const policy of page.rows) policies.set(policy.policy_id, policy);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    const after = await this.found();
    if (after.tag === set.tag) return { set, policies };
    const caughtUp = await this.changed({ set, policies }, after);
    if (!caughtUp) throw new Error('they were changed too much while they were read');
    return caughtUp;
  }

  private async found(): Promise<PolicySet> {
    return (await this.store.get(POLICY_SET, CURRENT)) ?? NOTHING;
  }
}
