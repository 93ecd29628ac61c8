/** Imports many policies in one commit, or plans what an import would change. */
import { setImmediate as turn } from 'node:timers/promises';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { EventStream } from '../../events/event-stream.js';
import type { Fault } from '../../shared/errors.js';
import { inSlices } from '../../shared/time-slices.js';
import { Store } from '../../storage/store.js';
import { checkInSlices, tooManyRules } from '../engine/check.js';
import { difference, isUnchanged } from '../engine/difference.js';
import { contentOf, type PolicyInput, sameIds } from '../engine/normalize.js';
import type { Policy, PolicyContent } from '../engine/policy.dto.js';
import { warningsInSlices } from '../engine/warnings.js';
import { changedDuringImport } from '../policy.errors.js';
import { PolicyEditor, refuse } from './editor.js';
import { CURRENT, POLICY_SET } from './policy.collection.js';
import { PolicyReader } from './policy-reader.js';
import { PolicySetWriter } from './policy-set-writer.js';

interface ImportOptions {
  /** `replace` also deletes every policy that the import does not contain. */
  mode: 'merge' | 'replace';
  dryRun: boolean;
  by: string;
}

/** The ids of the policies by what the import does with them. */
interface ImportPlan {
  create: string[];
  update: string[];
  delete: string[];
  unchanged: string[];
}

/** How often an import with `replace` starts again because another write changed the set. */
const ATTEMPTS = 3;

@Injectable()
export class PolicyImporter {
  constructor(
    @Inject(Store) private readonly store: Store,
    private readonly editor: PolicyEditor,
    private readonly reader: PolicyReader,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {}

  async import(
    policies: readonly unknown[],
    options: ImportOptions,
  ): Promise<{ plan: ImportPlan; revision: number; warnings: Fault[] }> {
    const pointer = '/policies';
    refuse(await inSlices(checkInSlices(policies, { limits: this.editor.limits, pointer })));
    const contents = await inSlices(contentsOf(policies as PolicyInput[]));
    refuse(sameIds(contents, pointer));
    const warnings = await inSlices(warningsOf(contents, pointer));
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const result = await this.importOnce(contents, options);
      if (result) return { ...result, warnings };
    }
    throw changedDuringImport();
  }

  /** Returns `undefined` if the set changed after the list of deletions was read. */
  private async importOnce(
    contents: readonly PolicyContent[],
    { mode, dryRun, by }: ImportOptions,
  ): Promise<{ plan: ImportPlan; revision: number } | undefined> {
    const kept = new Set(contents.map(({ policy_id }) => policy_id));
    await this.editor.prepare();
    const set = await this.store.get(POLICY_SET, CURRENT);
    const deleted: string[] = [];
    if (mode === 'replace') {
      for await (const { policy_id } of this.reader.all()) if (!kept.has(policy_id)) deleted.push(policy_id);
    }
    return this.store.transaction(async (tx) => {
      const writer = await PolicySetWriter.open(tx, this.events);
      if (mode === 'replace' && !writer.hasTag(set?.tag ?? '')) return undefined;
      const removed = await Promise.all(deleted.map((id) => writer.get(id)));
      const olds = await Promise.all(contents.map(({ policy_id }) => writer.find(policy_id)));
      const plan = await inSlices(planOf(contents, olds, deleted));
      const rules = writer.rulesBesides(...removed, ...olds) + rulesIn(contents);
      if (rules > this.editor.limits.rules)
        refuse([tooManyRules('/policies', rules, this.editor.limits.rules)]);
      if (dryRun) return { plan, revision: writer.revision };
      for (const policy of removed) await writer.remove(policy, by);
      for (const [i, content] of contents.entries()) {
        // A policy may have a thousand rules, so other work gets a turn of the event loop before each of them.
        await turn();
        const old = olds[i];
        if (old) await writer.update(old, content, by);
        else await writer.create(content, by);
      }
      return { plan, revision: writer.close() };
    });
  }
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
    warnings.push(...(yield* warningsInSlices(content, `${pointer}/${i}`)));
  }
  return warnings;
}

function* planOf(
  contents: readonly PolicyContent[],
  olds: readonly (Policy | undefined)[],
  deleted: string[],
): Generator<void, ImportPlan, void> {
  const plan: ImportPlan = { create: [], update: [], delete: deleted, unchanged: [] };
  for (const [i, content] of contents.entries()) {
    const old = olds[i];
    const group = !old ? 'create' : isUnchanged(difference(old, content)) ? 'unchanged' : 'update';
    plan[group].push(content.policy_id);
    yield;
  }
  return plan;
}

function rulesIn(policies: readonly PolicyContent[]): number {
  return policies.reduce((sum, { rules }) => sum + rules.length, 0);
}
