/**
 * Changes policies. Every change is checked whole before it is written, and is one commit: the policy, the revision of the
 * set, the record of what changed and by whom, and the events.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { EventStream } from '../../events/event-stream.js';
import { type Fault, faulty } from '../../shared/errors.js';
import { expectVersion } from '../../shared/expect-version.js';
import { inSlices } from '../../shared/time-slices.js';
import { type IdempotencyKey, type Page, Store } from '../../storage/store.js';
import { checkInSlices, checkPolicyInSlices, checkRule, type Limits, tooManyRules } from '../engine/check.js';
import { difference, isUnchanged } from '../engine/difference.js';
import { contentOf, type PolicyInput, type RuleInput, ruleOf, sameIds } from '../engine/normalize.js';
import type { Policy, PolicyContent, Rule } from '../engine/policy.dto.js';
import { unreachableInSlices } from '../engine/unreachable-rules.js';
import { changedMeanwhile, noSuchPolicy, noSuchRevision, noSuchRule, ruleExists } from '../policy.errors.js';
import {
  CURRENT,
  POLICIES,
  POLICY_GRAVES,
  POLICY_REVISIONS,
  POLICY_SET,
  type PolicyRevision,
  pageOf,
  revisionId,
} from './policy.collection.js';
import { PolicySetWriter } from './policy-set-writer.js';

/** Whoever asks, and what they demand. */
export interface Change {
  by: string;
  /** The revision that the policy must still have. */
  version?: number;
  idempotency?: IdempotencyKey;
}

export interface Written {
  policy: Policy;
  /** Of the whole set, after this write. */
  revision: number;
  warnings: Fault[];
}

export type ImportMode = 'merge' | 'replace';

export interface ImportPlan {
  create: string[];
  update: string[];
  delete: string[];
  unchanged: string[];
}

/** How often a replacement begins anew because somebody else wrote meanwhile. */
const ATTEMPTS = 3;

@Injectable()
export class PolicyEditor {
  private readonly limits: Limits;

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) config: Config,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    this.limits = config.policyLimits;
    store.declare(POLICY_SET);
    store.declare(POLICIES);
    store.declare(POLICY_REVISIONS);
    store.declare(POLICY_GRAVES);
  }

  /** The policies that a new installation starts with; does nothing where there is a set already. */
  async prepare(): Promise<void> {
    if (await this.store.get(POLICY_SET, CURRENT)) return;
    await this.write(async () => undefined);
  }

  async get(policyId: string): Promise<Policy> {
    const policy = await this.store.get(POLICIES, policyId);
    if (!policy) throw noSuchPolicy(policyId);
    return policy;
  }

  list(page: { limit?: number; cursor?: string }): Promise<Page<Policy>> {
    return this.store.list(POLICIES, { ...page, direction: 'asc' });
  }

  create(input: unknown, { by, idempotency }: Change): Promise<Written> {
    return this.write(async (book) => {
      await this.check(book, undefined, input);
      const content = contentOf(input as PolicyInput);
      return written(await book.create(content, by));
    }, idempotency);
  }

  /** Only the fields that were sent change. */
  update(policyId: string, input: unknown, { by, version }: Change): Promise<Written> {
    return this.edit(policyId, version, async (book, old) => {
      const sent = membersOf(input);
      await this.check(book, old, { ...old, ...sent });
      sameId(sent.policy_id, policyId, 'policy_id');
      return book.update(old, contentOf({ ...contentIn(old), ...sent }), by);
    });
  }

  async remove(policyId: string, { by, version }: Change): Promise<number> {
    const { revision } = await this.edit(policyId, version, async (book, old) => {
      await book.remove(old, by);
      return old;
    });
    return revision;
  }

  async addRule(
    policyId: string,
    input: unknown,
    { by, version, idempotency }: Change,
  ): Promise<Written & { rule: Rule }> {
    return this.write(async (book) => {
      const old = await book.get(policyId);
      expectVersion(old.revision, version);
      refuse(checkRule(input, { limits: this.limits }));
      const ids = new Set<string | undefined>(old.rules.map(({ rule_id }) => rule_id));
      const { rule_id } = input as RuleInput;
      if (rule_id !== undefined && ids.has(rule_id)) throw ruleExists(policyId, rule_id);
      const rule = ruleOf(input as RuleInput, ids);
      const policy = await this.withRules(book, old, [...old.rules, rule], by);
      return { ...(await written(policy)), rule };
    }, idempotency);
  }

  /** Only the fields that were sent change. */
  async updateRule(
    policyId: string,
    ruleId: string,
    input: unknown,
    { by, version }: Change,
  ): Promise<Written & { rule: Rule }> {
    const done = await this.edit(policyId, version, (book, old) => {
      const sent = membersOf(input);
      const rule = ruleIn(old, ruleId);
      refuse(checkRule({ ...rule, ...sent }, { limits: this.limits }));
      sameId(sent.rule_id, ruleId, 'rule_id');
      return this.withRules(book, old, replaced(old, { ...rule, ...sent }), by);
    });
    return { ...done, rule: ruleIn(done.policy, ruleId) };
  }

  async enableRule(
    policyId: string,
    ruleId: string,
    enabled: boolean,
    change: Change,
  ): Promise<Written & { rule: Rule }> {
    return this.updateRule(policyId, ruleId, { enabled }, change);
  }

  async removeRule(policyId: string, ruleId: string, { by, version }: Change): Promise<number> {
    const { revision } = await this.edit(policyId, version, (book, old) => {
      ruleIn(old, ruleId);
      return this.withRules(
        book,
        old,
        old.rules.filter(({ rule_id }) => rule_id !== ruleId),
        by,
      );
    });
    return revision;
  }

  /** Of a policy that is there or was, the latest first. */
  async revisions(
    policyId: string,
    page: { limit?: number; cursor?: string },
  ): Promise<Page<PolicyRevision>> {
    const found = await this.store.list(POLICY_REVISIONS, { ...page, where: { policy: policyId } });
    if (found.rows.length === 0 && page.cursor === undefined) throw noSuchPolicy(policyId);
    return found;
  }

  /** A rollback is a new revision; a policy that was deleted comes back by it. */
  rollback(policyId: string, revision: number, { by, version }: Change): Promise<Written> {
    return this.write(async (book) => {
      const old = await book.find(policyId);
      const target = await book.findRevision(revisionId(policyId, revision));
      if (!target && !old) throw noSuchPolicy(policyId);
      // What is gone has no version that could be demanded.
      expectVersion(old?.revision ?? 0, version);
      if (!target?.policy) throw noSuchRevision(policyId, revision);
      const content = contentIn(target.policy);
      await this.check(book, old, content);
      return written(old ? await book.update(old, content, by) : await book.create(content, by));
    });
  }

  /** Every policy as it was written, in order of their ids. */
  async *all(): AsyncGenerator<PolicyContent> {
    const set = await this.store.get(POLICY_SET, CURRENT);
    const limit = set && pageOf(set);
    let cursor: string | undefined;
    do {
      const page: Page<Policy> = await this.list({ limit, cursor });
      await turn();
      for (const policy of page.rows) yield contentIn(policy);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
  }

  /** All of them in one commit, or none; `replace` also deletes what is not among them. */
  async import(
    policies: readonly unknown[],
    { mode, dryRun, by }: { mode: ImportMode; dryRun: boolean; by: string },
  ): Promise<{ plan: ImportPlan; revision: number; warnings: Fault[] }> {
    const pointer = '/policies';
    refuse(await inSlices(checkInSlices(policies, { limits: this.limits, pointer })));
    const contents = await inSlices(contentsOf(policies as PolicyInput[]));
    refuse(sameIds(contents, pointer));
    const warnings = await inSlices(warningsOf(contents, pointer));
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const done = await this.importOnce(contents, { mode, dryRun, by });
      if (done) return { ...done, warnings };
    }
    throw changedMeanwhile();
  }

  private async importOnce(
    contents: readonly PolicyContent[],
    { mode, dryRun, by }: { mode: ImportMode; dryRun: boolean; by: string },
  ): Promise<{ plan: ImportPlan; revision: number } | undefined> {
    const kept = new Set(contents.map(({ policy_id }) => policy_id));
    await this.prepare();
    const set = await this.store.get(POLICY_SET, CURRENT);
    const others: string[] = [];
    if (mode === 'replace') {
      for await (const { policy_id } of this.all()) if (!kept.has(policy_id)) others.push(policy_id);
    }
    return this.store.transaction(async (tx) => {
      const book = await PolicySetWriter.open(tx, this.events);
      if (mode === 'replace' && !book.isStill(set?.tag ?? '')) return undefined;
      const removed = await Promise.all(others.map((id) => book.get(id)));
      const olds = await Promise.all(contents.map(({ policy_id }) => book.find(policy_id)));
      const plan = await inSlices(planOf(contents, olds, others));
      const rules = book.rulesBesides(...removed, ...olds) + rulesIn(contents);
      if (rules > this.limits.rules) refuse([tooManyRules('/policies', rules, this.limits.rules)]);
      if (dryRun) return { plan, revision: book.revision };
      for (const policy of removed) await book.remove(policy, by);
      for (const [i, content] of contents.entries()) {
        // Others get their turn between two of them: each may have a thousand rules.
        await turn();
        const old = olds[i];
        if (old) await book.update(old, content, by);
        else await book.create(content, by);
      }
      return { plan, revision: book.close() };
    });
  }

  private async withRules(book: PolicySetWriter, old: Policy, rules: Rule[], by: string): Promise<Policy> {
    const content = { ...contentIn(old), rules };
    await this.check(book, old, content);
    return book.update(old, content, by);
  }

  private async check(book: PolicySetWriter, old: Policy | undefined, policy: unknown): Promise<void> {
    const options = { limits: this.limits, otherRules: book.rulesBesides(old) };
    refuse(await inSlices(checkPolicyInSlices(policy, options)));
  }

  private async edit(
    policyId: string,
    version: number | undefined,
    work: (book: PolicySetWriter, old: Policy) => Promise<Policy>,
  ): Promise<Written> {
    return this.write(async (book) => {
      const old = await book.get(policyId);
      expectVersion(old.revision, version);
      return written(await work(book, old));
    });
  }

  private write<T extends object | undefined>(
    work: (book: PolicySetWriter) => Promise<T>,
    idempotency?: IdempotencyKey,
  ): Promise<T & { revision: number }> {
    return this.store.transaction(
      async (tx) => {
        const book = await PolicySetWriter.open(tx, this.events);
        const done = await work(book);
        return { ...done, revision: book.close() };
      },
      { idempotency },
    );
  }
}

async function written(policy: Policy): Promise<Omit<Written, 'revision'>> {
  return { policy, warnings: await inSlices(unreachableInSlices([policy], () => '')) };
}

function* contentsOf(policies: readonly PolicyInput[]): Generator<void, PolicyContent[], void> {
  const contents: PolicyContent[] = [];
  for (const policy of policies) {
    contents.push(contentOf(policy));
    yield;
  }
  return contents;
}

function* warningsOf(contents: readonly PolicyContent[], pointer: string): Generator<void, Fault[], void> {
  const warnings: Fault[] = [];
  for (const [i, content] of contents.entries()) {
    warnings.push(...(yield* unreachableInSlices([content], () => `${pointer}/${i}`)));
  }
  return warnings;
}

function* planOf(
  contents: readonly PolicyContent[],
  olds: readonly (Policy | undefined)[],
  removed: string[],
): Generator<void, ImportPlan, void> {
  const plan: ImportPlan = { create: [], update: [], delete: removed, unchanged: [] };
  for (const [i, content] of contents.entries()) {
    const old = olds[i];
    const what = !old ? 'create' : isUnchanged(difference(old, content)) ? 'unchanged' : 'update';
    plan[what].push(content.policy_id);
    yield;
  }
  return plan;
}

/** What people wrote of a policy, without what we keep about it. */
function contentIn(policy: Policy): PolicyContent {
  const { policy_id, name, version, description, rules, default_effect, enabled, metadata } = policy;
  return { policy_id, name, version, description, rules, default_effect, enabled, metadata };
}

function ruleIn({ policy_id, rules }: Policy, ruleId: string): Rule {
  const rule = rules.find(({ rule_id }) => rule_id === ruleId);
  if (!rule) throw noSuchRule(policy_id, ruleId);
  return rule;
}

function replaced({ rules }: Policy, rule: Rule): Rule[] {
  return rules.map((one) => (one.rule_id === rule.rule_id ? rule : one));
}

function rulesIn(policies: readonly PolicyContent[]): number {
  return policies.reduce((sum, { rules }) => sum + rules.length, 0);
}

function membersOf(input: unknown): Record<string, unknown> {
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) return { ...input };
  throw faulty([{ pointer: '', detail: 'must be a JSON object', code: 'object' }]);
}

function sameId(sent: unknown, id: string, field: string): void {
  if (sent === undefined || sent === id) return;
  const detail = `must be ${id}, as in the path, or left out: an id does not change`;
  throw faulty([{ pointer: `/${field}`, detail, code: 'fixed_id' }]);
}

function refuse(faults: Fault[]): void {
  if (faults.length > 0) throw faulty(faults);
}
