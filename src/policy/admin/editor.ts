/**
 * Changes policies. It checks every change completely before it writes. One commit has the policy, the new revision of the
 * set, the revision of the policy with its author, and the events.
 */
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { EventStream } from '../../events/event-stream.js';
import { type Fault, faulty } from '../../shared/errors.js';
import { expectVersion, type Versions } from '../../shared/expect-version.js';
import { inSlices } from '../../shared/time-slices.js';
import { type IdempotencyKey, Store } from '../../storage/store.js';
import { checkPolicyInSlices, checkRuleInSlices, type PolicyLimits } from '../engine/check.js';
import { contentOf, type PolicyInput, type RuleInput, ruleOf } from '../engine/normalize.js';
import type { Policy, Rule } from '../engine/policy.dto.js';
import { warningsInSlices } from '../engine/warnings.js';
import { noSuchPolicy, noSuchRevision, noSuchRule, ruleExists } from '../policy.errors.js';
import { policyLimits } from '../policy.settings.js';
import {
  CURRENT,
  POLICIES,
  POLICY_GRAVES,
  POLICY_REVISIONS,
  POLICY_SET,
  revisionId,
} from './policy.collection.js';
import { contentIn } from './policy-reader.js';
import { PolicySetWriter } from './policy-set-writer.js';

/** Who changes a policy, and under which conditions. */
export interface Change {
  /** The id of the principal. */
  by: string;
  /** The revisions that the policy may have, from `If-Match`. */
  versions?: Versions;
  idempotency?: IdempotencyKey;
}

export interface Written {
  policy: Policy;
  /** The revision of the set of policies after this write. */
  revision: number;
  warnings: Fault[];
}

@Injectable()
export class PolicyEditor {
  readonly limits: PolicyLimits;

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) config: Config,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    this.limits = policyLimits(config);
    store.declare(POLICY_SET);
    store.declare(POLICIES);
    store.declare(POLICY_REVISIONS);
    store.declare(POLICY_GRAVES);
  }

  /** Writes the default policies of a new installation. Does nothing if there is a set already. */
  async prepare(): Promise<void> {
    if (await this.store.get(POLICY_SET, CURRENT)) return;
    await this.write(async () => undefined);
  }

  create(input: unknown, { by, idempotency }: Change): Promise<Written> {
    return this.write(async (writer) => {
      await this.check(writer, undefined, input);
      const content = contentOf(input as PolicyInput);
      return written(await writer.create(content, by));
    }, idempotency);
  }

  /** Changes only the fields in `input`. */
  update(policyId: string, input: unknown, { by, versions }: Change): Promise<Written> {
    return this.edit(policyId, versions, async (writer, old) => {
      const changes = changesOf(input);
      await this.check(writer, old, { ...old, ...changes });
      sameId(changes.policy_id, policyId, 'policy_id');
      return writer.update(old, contentOf({ ...contentIn(old), ...changes }), by);
    });
  }

  async remove(policyId: string, { by, versions }: Change): Promise<number> {
    const { revision } = await this.edit(policyId, versions, async (writer, old) => {
      await writer.remove(old, by);
      return old;
    });
    return revision;
  }

  async addRule(
    policyId: string,
    input: unknown,
    { by, versions, idempotency }: Change,
  ): Promise<Written & { rule: Rule }> {
    return this.write(async (writer) => {
      const old = await writer.get(policyId);
      expectVersion(old.revision, versions);
      refuse(await inSlices(checkRuleInSlices(input, { limits: this.limits })));
      const ids = new Set<string | undefined>(old.rules.map(({ rule_id }) => rule_id));
      const { rule_id } = input as RuleInput;
      if (rule_id !== undefined && ids.has(rule_id)) throw ruleExists(policyId, rule_id);
      const rule = ruleOf(input as RuleInput, ids);
      const policy = await this.withRules(writer, old, [...old.rules, rule], by);
      return { ...(await written(policy)), rule };
    }, idempotency);
  }

  /** Changes only the fields in `input`. */
  async updateRule(
    policyId: string,
    ruleId: string,
    input: unknown,
    { by, versions }: Change,
  ): Promise<Written & { rule: Rule }> {
    const result = await this.edit(policyId, versions, async (writer, old) => {
      const changes = changesOf(input);
      const rule = ruleIn(old, ruleId);
      refuse(await inSlices(checkRuleInSlices({ ...rule, ...changes }, { limits: this.limits })));
      sameId(changes.rule_id, ruleId, 'rule_id');
      return this.withRules(writer, old, withReplaced(old, { ...rule, ...changes }), by);
    });
    return { ...result, rule: ruleIn(result.policy, ruleId) };
  }

  async enableRule(
    policyId: string,
    ruleId: string,
    enabled: boolean,
    change: Change,
  ): Promise<Written & { rule: Rule }> {
    return this.updateRule(policyId, ruleId, { enabled }, change);
  }

  async removeRule(policyId: string, ruleId: string, { by, versions }: Change): Promise<number> {
    const { revision } = await this.edit(policyId, versions, (writer, old) => {
      ruleIn(old, ruleId);
      return this.withRules(
        writer,
        old,
        old.rules.filter(({ rule_id }) => rule_id !== ruleId),
        by,
      );
    });
    return revision;
  }

  /** Writes the content of an earlier revision as a new revision. It also restores a deleted policy. */
  rollback(policyId: string, revision: number, { by, versions }: Change): Promise<Written> {
    return this.write(async (writer) => {
      const old = await writer.find(policyId);
      const target = await writer.findRevision(revisionId(policyId, revision));
      if (!target && !old) throw noSuchPolicy(policyId);
      // A deleted policy has no version, so a condition on its version fails.
      expectVersion(old?.revision ?? 0, versions);
      if (!target?.policy) throw noSuchRevision(policyId, revision);
      const content = contentIn(target.policy);
      await this.check(writer, old, content);
      return written(old ? await writer.update(old, content, by) : await writer.create(content, by));
    });
  }

  private async withRules(writer: PolicySetWriter, old: Policy, rules: Rule[], by: string): Promise<Policy> {
    const content = { ...contentIn(old), rules };
    await this.check(writer, old, content);
    return writer.update(old, content, by);
  }

  private async check(writer: PolicySetWriter, old: Policy | undefined, policy: unknown): Promise<void> {
    const options = { limits: this.limits, otherRules: writer.rulesBesides(old) };
    refuse(await inSlices(checkPolicyInSlices(policy, options)));
  }

  private async edit(
    policyId: string,
    versions: Versions | undefined,
    work: (writer: PolicySetWriter, old: Policy) => Promise<Policy>,
  ): Promise<Written> {
    return this.write(async (writer) => {
      const old = await writer.get(policyId);
      expectVersion(old.revision, versions);
      return written(await work(writer, old));
    });
  }

  private write<T extends object | undefined>(
    work: (writer: PolicySetWriter) => Promise<T>,
    idempotency?: IdempotencyKey,
  ): Promise<T & { revision: number }> {
    return this.store.transaction(
      async (tx) => {
        const writer = await PolicySetWriter.open(tx, this.events);
        const result = await work(writer);
        return { ...result, revision: writer.close() };
      },
      { idempotency, essential: true },
    );
  }
}

async function written(policy: Policy): Promise<Omit<Written, 'revision'>> {
  return { policy, warnings: await inSlices(warningsInSlices(policy, '')) };
}

function ruleIn({ policy_id, rules }: Policy, ruleId: string): Rule {
  const rule = rules.find(({ rule_id }) => rule_id === ruleId);
  if (!rule) throw noSuchRule(policy_id, ruleId);
  return rule;
}

function withReplaced({ rules }: Policy, rule: Rule): Rule[] {
  return rules.map((one) => (one.rule_id === rule.rule_id ? rule : one));
}

function changesOf(input: unknown): Record<string, unknown> {
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) return { ...input };
  throw faulty([{ pointer: '', detail: 'must be a JSON object', code: 'object' }]);
}

function sameId(sent: unknown, id: string, field: string): void {
  if (sent === undefined || sent === id) return;
  const detail = `must be ${id}, as in the path, or absent: an id cannot change`;
  throw faulty([{ pointer: `/${field}`, detail, code: 'fixed_id' }]);
}

export function refuse(faults: Fault[]): void {
  if (faults.length > 0) throw faulty(faults);
}
