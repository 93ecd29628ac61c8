/** One write to the set of policies, within a transaction: what it changes, counts, keeps as a revision, and tells. */
import type { EventStream } from '../../events/event-stream.js';
import { nowSeconds } from '../../shared/clock.js';
import { randomId } from '../../shared/ids.js';
import { inSlices } from '../../shared/time-slices.js';
import type { Tx } from '../../storage/store.js';
import { MAX_POLICIES } from '../engine/check.js';
import { DEFAULT_POLICIES } from '../engine/defaults.js';
import { difference, isUnchanged, type RuleDifference } from '../engine/difference.js';
import type { Policy, PolicyContent } from '../engine/policy.dto.js';
import { noSuchPolicy, policyExists, tooManyPolicies } from '../policy.errors.js';
import {
  CURRENT,
  POLICIES,
  POLICY_GRAVES,
  POLICY_REVISIONS,
  POLICY_SET,
  type PolicyRevision,
  type PolicySet,
} from './policy.collection.js';
import { policyCreated, policyDeleted, policyUpdated, ruleEvent } from './policy.events.js';

/** What writes when nobody asked for it: the first start. */
const SYSTEM = 'system';

export class PolicySetWriter {
  private readonly at = nowSeconds();
  private readonly before: PolicySet;
  private readonly tag = randomId(16);
  private policies: number;
  private rules: number;
  private changed = false;

  private constructor(
    private readonly tx: Tx,
    private readonly found: PolicySet | undefined,
    private readonly events: EventStream | undefined,
  ) {
    this.before = found ?? { id: CURRENT, revision: 0, tag: '', policies: 0, rules: 0 };
    this.policies = this.before.policies;
    this.rules = this.before.rules;
  }

  /** A set that was never written begins with the default policies. */
  static async open(tx: Tx, events: EventStream | undefined): Promise<PolicySetWriter> {
    const book = new PolicySetWriter(tx, await tx.get(POLICY_SET, CURRENT), events);
    if (!book.found) for (const content of DEFAULT_POLICIES) await book.create(content, SYSTEM);
    return book;
  }

  /** Of the whole set, when this write is done. */
  get revision(): number {
    return this.before.revision + (this.changed ? 1 : 0);
  }

  /** The set is still as it was when this tag was read. */
  isStill(tag: string): boolean {
    return this.before.tag === tag;
  }

  /** How many rules there are besides those of these policies. */
  rulesBesides(...policies: (Policy | undefined)[]): number {
    return policies.reduce((sum, policy) => sum - (policy?.rules.length ?? 0), this.rules);
  }

  find(policyId: string): Promise<Policy | undefined> {
    return this.tx.get(POLICIES, policyId);
  }

  findRevision(id: string): Promise<PolicyRevision | undefined> {
    return this.tx.get(POLICY_REVISIONS, id);
  }

  async get(policyId: string): Promise<Policy> {
    const policy = await this.find(policyId);
    if (!policy) throw noSuchPolicy(policyId);
    return policy;
  }

  async create(content: PolicyContent, by: string): Promise<Policy> {
    if (await this.find(content.policy_id)) throw policyExists(content.policy_id);
    if (this.policies >= MAX_POLICIES) throw tooManyPolicies(MAX_POLICIES);
    const grave = await this.tx.get(POLICY_GRAVES, content.policy_id);
    if (grave) this.tx.delete(POLICY_GRAVES, content.policy_id);
    const revision = (grave?.revision ?? 0) + 1;
    const policy: Policy = { ...content, revision, created_at: this.at, updated_at: this.at, created_by: by };
    this.tx.insert(POLICIES, policy);
    this.policies += 1;
    await this.keep(null, policy, revision, by);
    return policy;
  }

  /** A write that changes nothing is none: no revision, no event. */
  async update(old: Policy, content: PolicyContent, by: string): Promise<Policy> {
    if (isUnchanged(difference(old, content))) return old;
    const { created_at, created_by } = old;
    const revision = old.revision + 1;
    const policy: Policy = { ...content, revision, created_at, updated_at: this.at, created_by };
    this.tx.put(POLICIES, policy);
    await this.keep(old, policy, revision, by);
    return policy;
  }

  async remove(old: Policy, by: string): Promise<void> {
    this.tx.delete(POLICIES, old.policy_id);
    const revision = old.revision + 1;
    this.tx.insert(POLICY_GRAVES, { policy_id: old.policy_id, revision, deleted_at: this.at });
    this.policies -= 1;
    await this.keep(old, null, revision, by);
  }

  /** Writes the set as a whole; returns its revision. */
  close(): number {
    if (!this.changed) return this.revision;
    const { policies, rules, tag, revision } = this;
    const set: PolicySet = { id: CURRENT, revision, tag, policies, rules };
    if (this.found) this.tx.put(POLICY_SET, set);
    else this.tx.insert(POLICY_SET, set);
    return revision;
  }

  private async keep(
    before: Policy | null,
    after: Policy | null,
    revision: number,
    by: string,
  ): Promise<void> {
    const { policy_id } = (after ?? before) as Policy;
    const changes = difference(before, after);
    this.changed = true;
    this.rules += (after?.rules.length ?? 0) - (before?.rules.length ?? 0);
    this.tx.insert(POLICY_REVISIONS, {
      policy_id,
      revision,
      at: this.at,
      by,
      policy: after,
      changes,
      set_revision: this.revision,
      tag: this.tag,
      before: this.before.tag,
    });
    if (before === null && after) this.events?.publish(policyCreated(after, by, this.at), this.tx);
    else if (after) this.events?.publish(policyUpdated(after, changes.fields, by, this.at), this.tx);
    else if (before) this.events?.publish(policyDeleted(before, by, this.at), this.tx);
    await inSlices(this.tellRules(before, after, changes.rules));
  }

  private *tellRules(
    before: Policy | null,
    after: Policy | null,
    changes: readonly RuleDifference[],
  ): Generator<void, void, void> {
    const { policy_id } = (after ?? before) as Policy;
    // As it is, and as it was where it is gone.
    const rules = new Map(
      [...(before?.rules ?? []), ...(after?.rules ?? [])].map((rule) => [rule.rule_id, rule]),
    );
    for (const one of changes) {
      const rule = rules.get(one.rule_id);
      if (rule) this.events?.publish(ruleEvent(policy_id, rule, one, this.at), this.tx);
      yield;
    }
  }
}
