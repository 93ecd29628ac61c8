/**
 * The policies of the store, compiled, in the memory of this replica.
 *
 * - It follows the store by `watch`: what one replica writes, all of them decide by within a second.
 * - Only what changed is read and compiled, in slices; the snapshot in use stays until the new one is ready.
 * - While the store is away, memory answers for the grace time and says so; then nothing does: a gate that can no longer
 *   hear of a change closes.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { CONFIG, type Config } from '../config.js';
import { atMost } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import { Logger } from '../shared/logger.js';
import { inSlices } from '../shared/slices.js';
import { type Page, Store } from '../storage/store.js';
import {
  CURRENT,
  POLICIES,
  POLICY_REVISIONS,
  POLICY_SET,
  type PolicyRevision,
  type PolicySet,
  pageOf,
} from './policy.collection.js';
import { compileInSlices } from './policy.compile.js';
import type { Policy } from './policy.dto.js';
import { PolicyEditor } from './policy.editor.js';
import { notRead, stalePolicies } from './policy.errors.js';
import type { Snapshot } from './policy.snapshot.js';

interface Read {
  set: PolicySet;
  policies: ReadonlyMap<string, Policy>;
}

interface Held extends Read {
  snapshot: Snapshot;
}

/** What is promised for a change; memory of this age counts as fresh. */
const FRESH_MS = 2000;
const RETRY_MS = 500;
/** So many changes are read one by one; who missed more reads the policies themselves. */
const MAX_CHANGES = 200;
const NOTHING: PolicySet = { id: CURRENT, revision: 0, tag: '', policies: 0, rules: 0 };

@Injectable()
export class PolicySnapshots implements OnModuleInit, OnModuleDestroy {
  private readonly graceMs: number;
  private held?: Held;
  /** Since when the store may hold other policies than memory does; nothing while they agree. */
  private behindSinceMs: number | undefined = 0;
  /** Grows with each change that is heard of. */
  private heard = 0;
  private reading?: Promise<void>;
  private queued?: Promise<void>;
  private retry?: NodeJS.Timeout;
  private stop?: () => void;
  private readonly waiting = new Set<() => void>();

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) config: Config,
    private readonly editor: PolicyEditor,
    private readonly logger: Logger,
  ) {
    this.graceMs = Math.max(FRESH_MS, config.maxStaleSeconds * 1000);
  }

  async onModuleInit(): Promise<void> {
    this.stop = this.store.watch(POLICY_SET, () => void this.refresh());
    await this.refresh();
  }

  onModuleDestroy(): void {
    this.stop?.();
    this.stop = undefined;
    clearTimeout(this.retry);
  }

  /** What decisions are made by now. Throws where memory may not answer any more, or cannot yet. */
  current(): { snapshot: Snapshot; stale: boolean } {
    if (!this.held) throw notRead();
    const staleMs =
      Date.now() - Math.min(this.behindSinceMs ?? Number.POSITIVE_INFINITY, this.store.lastContactMs());
    if (staleMs > this.graceMs) throw stalePolicies();
    return { snapshot: this.held.snapshot, stale: staleMs > FRESH_MS };
  }

  get revision(): number {
    return this.held?.set.revision ?? 0;
  }

  /** Waits until memory holds at least this revision of the set; false where that takes longer. */
  async reach(revision: number, ms: number): Promise<boolean> {
    const endMs = Date.now() + ms;
    if (this.revision < revision) void this.refresh();
    while (this.revision < revision && Date.now() < endMs) {
      let wake = (): void => undefined;
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.waiting.add(wake);
      await atMost(endMs - Date.now(), changed);
      this.waiting.delete(wake);
    }
    return this.revision >= revision;
  }

  /** Resolves when memory knows what the store knew at the call, or when that failed. */
  refresh(): Promise<void> {
    this.heard += 1;
    this.behindSinceMs ??= Date.now();
    if (!this.reading) return this.read();
    // What runs may have read before the change; all who come meanwhile share the next one.
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
    const { heard } = this;
    try {
      await this.editor.prepare();
      await this.load();
      this.behindSinceMs = heard === this.heard ? undefined : startedMs;
      for (const wake of this.waiting) wake();
    } catch (error) {
      if (!this.stop) return;
      this.logger.warn('The policies could not be read; trying again.', { cause: messageOf(error) });
      this.retry = setTimeout(() => void this.refresh(), RETRY_MS).unref();
    }
  }

  private async load(): Promise<void> {
    const set = await this.found();
    if (this.held?.set.tag === set.tag) return;
    const next = (this.held && (await this.changed(this.held, set))) ?? (await this.whole());
    const { policies } = next;
    const options = { previous: this.held?.snapshot, revision: next.set.revision };
    const snapshot = await inSlices(compileInSlices(policies.values(), options));
    this.held = { set: next.set, policies, snapshot };
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
