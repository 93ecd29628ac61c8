/** The compiled policies: all enabled rules of all enabled policies in order of precedence, with their indexes. */
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
}

type ConditionsOf = (rule: CompiledRule) => readonly CompiledCondition[];

interface ActionClass {
  /** Rules with conditions on the action, and none on the role. */
  alone: Lookup;
  /** Rules with conditions on both. */
  paired: CandidateIndex<Entry> | undefined;
  /** The lookups for `paired`, made when a role class first occurs with this action class. */
  pairs: Map<RoleClass, Lookup>;
}

interface RoleClass {
  role: unknown;
  /** Rules with conditions on the role, and none on the action. */
  alone: Lookup;
}

const onAction: ConditionsOf = (rule) => rule.onAction;
const onRole: ConditionsOf = (rule) => rule.onRole;

/** The number of rules that are indexed between two yields. */
const ENTRIES_PER_SLICE = 512;

/**
 * Immutable apart from its caches. For each class of actions, each class of roles and each pair of them that has occurred,
 * it caches the rules whose conditions on action and role hold. For these rules only the other conditions must be tested.
 */
export class Snapshot {
  readonly revision: number;
  readonly units: ReadonlyMap<string, Unit>;
  readonly rules: readonly CompiledRule[];
  readonly fallback: Verdict;
  /** The ranks of the rules that cannot be evaluated. No index contains them. */
  readonly broken: readonly number[];

  private readonly actions = new ValueClasses<ActionClass>((action) => this.actionClass(action));
  private readonly roles = new ValueClasses<RoleClass>((role) => this.roleClass(role));
  private readonly byAction = new CandidateIndex<Entry>();
  private readonly byRole = new CandidateIndex<Entry>();
  /** Rules without a condition on action or role. */
  private anything: Lookup = NOTHING;
  private readonly cacheSize: number;
  private cached = 0;

  private constructor({ revision, units, rules, fallback, cacheSize }: SnapshotParts) {
    this.revision = revision;
    this.units = units;
    this.rules = rules;
    this.fallback = fallback;
    this.cacheSize = cacheSize;
    this.broken = [...rules.keys()].filter((rank) => rules[rank].broken !== undefined);
  }

  /** Builds in slices, so that decisions go on. */
  static *build(parts: SnapshotParts): Generator<void, Snapshot, void> {
    const snapshot = new Snapshot(parts);
    const anything: Entry[] = [];
    for (let rank = 0; rank < parts.rules.length; rank++) {
      if (rank % ENTRIES_PER_SLICE === 0) yield;
      snapshot.add(rank, parts.rules[rank], anything);
    }
    yield;
    snapshot.anything = lookupOf(anything);
    return snapshot;
  }

  private add(rank: number, rule: CompiledRule, anything: Entry[]): void {
    if (rule.broken !== undefined) return;
    const entry: Entry = { rank, rule, open: rule.others };
    for (const condition of rule.onAction) this.actions.add(condition);
    for (const condition of rule.onRole) this.roles.add(condition);
    if (rule.onAction.length > 0) addTo(this.byAction, entry, onAction);
    else if (rule.onRole.length > 0) addTo(this.byRole, entry, onRole);
    else anything.push(entry);
  }

  /** The rank of the first rule that matches and can be evaluated; `rules.length` when none does. */
  first(request: EvaluateRequest): number {
    const action = this.actions.of(request.action);
    const role = this.roles.of(request.agent_role);
    let best = this.anything.first(request, this.rules.length);
    best = role.alone.first(request, best);
    best = action.alone.first(request, best);
    if (action.paired === undefined) return best;
    const pair = action.pairs.get(role) ?? this.pair(action, action.paired, role);
    return pair.first(request, best);
  }

  private actionClass(action: unknown): ActionClass {
    this.countCached();
    const entries = holding(this.byAction, action, onAction);
    const alone = lookupOf(entries.filter(({ rule }) => rule.onRole.length === 0));
    const paired = entries.filter(({ rule }) => rule.onRole.length > 0);
    if (paired.length === 0) return { alone, paired: undefined, pairs: new Map() };
    const index = new CandidateIndex<Entry>();
    for (const entry of paired) addTo(index, entry, onRole);
    return { alone, paired: index, pairs: new Map() };
  }

  private roleClass(role: unknown): RoleClass {
    this.countCached();
    return { role, alone: lookupOf(holding(this.byRole, role, onRole)) };
  }

  private pair(action: ActionClass, paired: CandidateIndex<Entry>, role: RoleClass): Lookup {
    this.countCached();
    const lookup = lookupOf(holding(paired, role.role, onRole));
    action.pairs.set(role, lookup);
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
function addTo(index: CandidateIndex<Entry>, entry: Entry, of: ConditionsOf): void {
  const all = of(entry.rule);
  let best = all[0];
  for (const condition of all) {
    const by = condition.hint?.by;
    if (by === 'values' || (by === 'prefix' && best.hint?.by !== 'values')) best = condition;
  }
  index.add(entry, best);
}

/** The entries whose conditions on the field all hold for the value, in order of precedence. */
function holding(index: CandidateIndex<Entry>, value: unknown, of: ConditionsOf): Entry[] {
  const found = index.candidates(value).filter(({ rule }) => of(rule).every(({ test }) => test(value)));
  return found.sort((one, other) => one.rank - other.rank);
}
