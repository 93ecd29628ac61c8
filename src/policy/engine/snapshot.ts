/** The compiled policies: all enabled rules of all enabled policies in order of precedence, with their indexes. */
import { Parts } from './contents.js';
import { Meter } from './meter.js';
import type { EvaluateRequest, Policy, PolicyContent, Verdict } from './policy.dto.js';
import { type Entry, type Lookup, lookupOf, NOTHING } from './rule-index.js';
import type { CompiledCondition, CompiledRule } from './rules.js';
import { CandidateIndex, ValueClasses } from './value-classes.js';

/** A stored policy, or a draft. */
export type Compilable = PolicyContent & Partial<Pick<Policy, 'revision' | 'created_at' | 'updated_at'>>;

/** A compiled policy. A disabled policy has no compiled rules. */
export interface Unit {
  policy: Compilable;
  rules: readonly CompiledRule[];
}

export interface SnapshotParts {
  revision: number;
  units: ReadonlyMap<string, Unit>;
  /** In order of precedence. */
  rules: readonly CompiledRule[];
  /** The verdict when no rule matches. */
  fallback: Verdict;
  cacheSize: number;
  /** What the conditions of one decision may cost. */
  budget: number;
}

type ConditionsOf = (rule: CompiledRule) => readonly CompiledCondition[];

/** A class of actions, with the rules whose conditions on the action hold for it. */
interface ActionClass {
  rulesOnActionOnly: Lookup;
  /** The rules that also have conditions on the role, by these conditions. */
  rulesOnBoth: CandidateIndex<Entry> | undefined;
  /** The rules of `rulesOnBoth` that a role class leaves. Made when the two classes first occur together. */
  lookupByRole: Map<RoleClass, Lookup>;
}

/** A class of roles, with the rules whose conditions on the role hold for it. */
interface RoleClass {
  /** One of the roles. The rules on action and role are found by it. */
  role: unknown;
  rulesOnRoleOnly: Lookup;
}

const onAction: ConditionsOf = (rule) => rule.onAction;
const onRole: ConditionsOf = (rule) => rule.onRole;

/** The number of rules that are indexed between two yields. */
const ENTRIES_PER_SLICE = 512;

/**
 * Immutable apart from its caches. For each class of actions, each class of roles and each pair of them that has occurred,
 * it caches the rules whose conditions on action and role hold. For these rules only the other conditions must be tested.
 *
 * An example with three rules:
 *
 *     1  deny   action == doc.delete
 *     2  allow  agent_role == admin
 *     3  allow  action starts_with doc.  and  agent_role == editor  and  params.rows < 100
 *
 * A request with `doc.read` and `editor` falls into the class of all other actions that start with `doc.`, which has rule 3 among
 * its `rulesOnBoth`; and into the class of `editor`, which has no rule of its own. The lookup for the pair has rule 3, with
 * `params.rows` untested.
 */
export class Snapshot {
  readonly revision: number;
  readonly units: ReadonlyMap<string, Unit>;
  readonly rules: readonly CompiledRule[];
  readonly fallback: Verdict;
  /** The ranks of the rules that cannot be evaluated. No index contains them. */
  readonly brokenRanks: readonly number[];
  readonly budget: number;
  /** What the conditions look for in long texts. */
  readonly parts: Parts;
  /** Counts what `first` costs. */
  readonly meter: Meter;

  private readonly actions = new ValueClasses<ActionClass>((action) => this.makeActionClass(action));
  private readonly roles = new ValueClasses<RoleClass>((role) => this.makeRoleClass(role));
  /** Rules with a condition on the action, also those with one on the role. */
  private readonly byAction = new CandidateIndex<Entry>();
  /** Rules with a condition on the role, and none on the action. */
  private readonly byRole = new CandidateIndex<Entry>();
  private rulesOnNeither: Lookup = NOTHING;
  private readonly cacheSize: number;
  private cached = 0;

  private constructor({ revision, units, rules, fallback, cacheSize, budget }: SnapshotParts) {
    this.revision = revision;
    this.units = units;
    this.rules = rules;
    this.fallback = fallback;
    this.cacheSize = cacheSize;
    this.budget = budget;
    this.parts = new Parts(rules);
    this.meter = new Meter(rules, budget);
    this.brokenRanks = [...rules.keys()].filter((rank) => rules[rank].brokenReason !== undefined);
  }

  /** Builds in slices, so that decisions go on. */
  static *build(parts: SnapshotParts): Generator<void, Snapshot, void> {
    const snapshot = new Snapshot(parts);
    const onNeither: Entry[] = [];
    for (let rank = 0; rank < parts.rules.length; rank++) {
      if (rank % ENTRIES_PER_SLICE === 0) yield;
      snapshot.add(rank, snapshot.meter.metered(parts.rules[rank]), onNeither);
    }
    yield;
    snapshot.rulesOnNeither = lookupOf(onNeither);
    return snapshot;
  }

  private add(rank: number, rule: CompiledRule, onNeither: Entry[]): void {
    if (rule.brokenReason !== undefined) return;
    const entry: Entry = { rank, rule, untested: rule.others };
    for (const condition of rule.onAction) this.actions.add(condition);
    for (const condition of rule.onRole) this.roles.add(condition);
    if (rule.onAction.length > 0) addTo(this.byAction, entry, onAction);
    else if (rule.onRole.length > 0) addTo(this.byRole, entry, onRole);
    else onNeither.push(entry);
  }

  /**
   * The rank of the first rule that matches and can be evaluated; `rules.length` when none does.
   * @throws when it would cost too much, or a condition cannot be evaluated
   */
  first(request: EvaluateRequest): number {
    this.meter.restart();
    const action = this.actions.classOf(request.action);
    const role = this.roles.classOf(request.agent_role);
    let best = this.rulesOnNeither.first(request, this.rules.length);
    best = role.rulesOnRoleOnly.first(request, best);
    best = action.rulesOnActionOnly.first(request, best);
    if (action.rulesOnBoth === undefined) return best;
    const onBoth = action.lookupByRole.get(role) ?? this.makeLookup(action, action.rulesOnBoth, role);
    return onBoth.first(request, best);
  }

  private makeActionClass(action: unknown): ActionClass {
    this.countCached();
    const entries = holding(this.byAction, action, onAction);
    const rulesOnActionOnly = lookupOf(entries.filter(({ rule }) => rule.onRole.length === 0));
    const onBoth = entries.filter(({ rule }) => rule.onRole.length > 0);
    if (onBoth.length === 0) return { rulesOnActionOnly, rulesOnBoth: undefined, lookupByRole: new Map() };
    const rulesOnBoth = new CandidateIndex<Entry>();
    for (const entry of onBoth) addTo(rulesOnBoth, entry, onRole);
    return { rulesOnActionOnly, rulesOnBoth, lookupByRole: new Map() };
  }

  private makeRoleClass(role: unknown): RoleClass {
    this.countCached();
    return { role, rulesOnRoleOnly: lookupOf(holding(this.byRole, role, onRole)) };
  }

  private makeLookup(action: ActionClass, rulesOnBoth: CandidateIndex<Entry>, role: RoleClass): Lookup {
    this.countCached();
    const lookup = lookupOf(holding(rulesOnBoth, role.role, onRole));
    action.lookupByRole.set(role, lookup);
    return lookup;
  }

  /** Counts a new cache entry; a full cache is cleared first, so that hostile requests cannot fill the memory. */
  private countCached(): void {
    this.cached += 1;
    if (this.cached <= this.cacheSize) return;
    this.actions.clear();
    this.roles.clear();
    this.cached = 1;
  }
}

/** Adds the entry under the condition that leaves the fewest candidates. */
function addTo(index: CandidateIndex<Entry>, entry: Entry, conditionsOf: ConditionsOf): void {
  const all = conditionsOf(entry.rule);
  let best = all[0];
  for (const condition of all) {
    const by = condition.hint?.by;
    if (by === 'values' || (by === 'prefix' && best.hint?.by !== 'values')) best = condition;
  }
  index.add(entry, best);
}

/** The entries whose conditions on the field all hold for the value, in order of precedence. */
function holding(index: CandidateIndex<Entry>, value: unknown, conditionsOf: ConditionsOf): Entry[] {
  const found = index
    .candidates(value)
    .filter(({ rule }) => conditionsOf(rule).every(({ test }) => test(value)));
  return found.sort((one, other) => one.rank - other.rank);
}
