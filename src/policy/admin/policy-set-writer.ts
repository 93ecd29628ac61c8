/** One write to the set of policies within a transaction: it changes policies, stores their revisions and publishes events. */
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

/** The author of the default policies. */
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
    private readonly stored: PolicySet | undefined,
    private readonly events: EventStream | undefined,
  ) {
    this.before = stored ?? { id: CURRENT, revision: 0, tag: '', policies: 0, rules: 0 };
    this.policies = this.before.policies;
    this.rules = this.before.rules;
  }

  /** A new set starts with the default policies. */
  static async open(tx: Tx, events: EventStream | undefined): Promise<PolicySetWriter> {
    const writer = new PolicySetWriter(tx, await tx.get(POLICY_SET, CURRENT), events);
    if (!writer.stored) for (const content of DEFAULT_POLICIES) await writer.create(content, SYSTEM);
    return writer;
  }

  /** The revision of the set after this write. */
  get revision(): number {
    return this.before.revision + (this.changed ? 1 : 0);
  }

  /** Whether the set is unchanged since this tag was read. */
  hasTag(tag: string): boolean {
    return this.before.tag === tag;
  }

  /** The number of rules in all other policies. */
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
    await this.record(null, policy, revision, by);
    return policy;
  }

  /** A change without a difference writes nothing: no revision, no event. */
  async update(old: Policy, content: PolicyContent, by: string): Promise<Policy> {
    if (isUnchanged(difference(old, content))) return old;
    const { created_at, created_by } = old;
    const revision = old.revision + 1;
    const policy: Policy = { ...content, revision, created_at, updated_at: this.at, created_by };
    this.tx.put(POLICIES, policy);
    await this.record(old, policy, revision, by);
    return policy;
  }

  async remove(old: Policy, by: string): Promise<void> {
    this.tx.delete(POLICIES, old.policy_id);
    const revision = old.revision + 1;
    this.tx.insert(POLICY_GRAVES, { policy_id: old.policy_id, revision, deleted_at: this.at });
    this.policies -= 1;
    await this.record(old, null, revision, by);
  }

  /** Writes the document of the set. @returns the revision of the set */
  close(): number {
    if (!this.changed) return this.revision;
    const { policies, rules, tag, revision } = this;
    const set: PolicySet = { id: CURRENT, revision, tag, policies, rules };
    if (this.stored) this.tx.put(POLICY_SET, set);
    else this.tx.insert(POLICY_SET, set);
    return revision;
  }

  private async record(
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
    await inSlices(this.publishRules(before, after, changes.rules));
  }

  private *publishRules(
    before: Policy | null,
    after: Policy | null,
    changes: readonly RuleDifference[],
  ): Generator<void, void, void> {
    const { policy_id } = (after ?? before) as Policy;
    // The new rules, and the old ones for those that were deleted.
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
