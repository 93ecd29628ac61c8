/** All enabled rules of all enabled policies, compiled and in order of precedence, ready to be asked. */
import type { EvaluateRequest, Policy, PolicyContent, Verdict } from './policy.dto.js';
import { type Entry, type Lookup, lookupOf, NOTHING } from './rule-index.js';
import type { CompiledCondition, CompiledRule } from './rules.js';
import { Filed, Kinds } from './value-classes.js';

/** A policy of the store, or a draft that never was there. */
export type Compilable = PolicyContent & Partial<Pick<Policy, 'revision' | 'created_at' | 'updated_at'>>;

/** A policy as it was compiled; the rules of a disabled one are none. */
export interface Unit {
  policy: Compilable;
  rules: readonly CompiledRule[];
}

export interface SnapshotParts {
  revision: number;
  units: ReadonlyMap<string, Unit>;
  /** In order of precedence. */
  rules: readonly CompiledRule[];
  /** Applied when no rule matches. */
  fallback: Verdict;
  remembered: number;
}

type ConditionsOf = (rule: CompiledRule) => readonly CompiledCondition[];

interface ActionKind {
  /** Rules that ask nothing of the role. */
  alone: Lookup;
  paired: Filed<Entry> | undefined;
  pairs: Map<RoleKind, Lookup>;
}

interface RoleKind {
  role: unknown;
  /** Rules that ask nothing of the action. */
  alone: Lookup;
}

const onAction: ConditionsOf = (rule) => rule.onAction;
const onRole: ConditionsOf = (rule) => rule.onRole;

/** So many rules are put into the indexes at once. */
const ENTRIES_PER_SLICE = 512;

/**
 * Nothing in it changes but what it remembers: for each kind of action, each kind of role and each pair of them that was
 * seen, the rules whose conditions on action and role hold, with only their other conditions left to ask.
 */
export class Snapshot {
  readonly revision: number;
  readonly units: ReadonlyMap<string, Unit>;
  readonly rules: readonly CompiledRule[];
  readonly fallback: Verdict;
  /** Ranks of the rules that cannot be evaluated. They are in no index. */
  readonly broken: readonly number[];

  private readonly actions = new Kinds<ActionKind>((action) => this.actionKind(action));
  private readonly roles = new Kinds<RoleKind>((role) => this.roleKind(role));
  private readonly byAction = new Filed<Entry>();
  private readonly byRole = new Filed<Entry>();
  private anything: Lookup = NOTHING;
  private readonly limit: number;
  private remembered = 0;

  private constructor({ revision, units, rules, fallback, remembered }: SnapshotParts) {
    this.revision = revision;
    this.units = units;
    this.rules = rules;
    this.fallback = fallback;
    this.limit = remembered;
    this.broken = [...rules.keys()].filter((rank) => rules[rank].broken !== undefined);
  }

  /** In steps, for who has other things to do meanwhile. */
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
    if (rule.onAction.length > 0) put(this.byAction, entry, onAction);
    else if (rule.onRole.length > 0) put(this.byRole, entry, onRole);
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

  private actionKind(action: unknown): ActionKind {
    this.remember();
    const entries = holding(this.byAction, action, onAction);
    const alone = lookupOf(entries.filter(({ rule }) => rule.onRole.length === 0));
    const paired = entries.filter(({ rule }) => rule.onRole.length > 0);
    if (paired.length === 0) return { alone, paired: undefined, pairs: new Map() };
    const files = new Filed<Entry>();
    for (const entry of paired) put(files, entry, onRole);
    return { alone, paired: files, pairs: new Map() };
  }

  private roleKind(role: unknown): RoleKind {
    this.remember();
    return { role, alone: lookupOf(holding(this.byRole, role, onRole)) };
  }

  private pair(action: ActionKind, paired: Filed<Entry>, role: RoleKind): Lookup {
    this.remember();
    const lookup = lookupOf(holding(paired, role.role, onRole));
    action.pairs.set(role, lookup);
    return lookup;
  }

  private remember(): void {
    this.remembered += 1;
    if (this.remembered <= this.limit) return;
    this.actions.forget();
    this.roles.forget();
    this.remembered = 1;
  }
}

/** Filed under the one of its conditions that leaves the fewest candidates. */
function put(files: Filed<Entry>, entry: Entry, of: ConditionsOf): void {
  const all = of(entry.rule);
  let best = all[0];
  for (const condition of all) {
    const by = condition.hint?.by;
    if (by === 'values' || (by === 'prefix' && best.hint?.by !== 'values')) best = condition;
  }
  files.add(entry, best);
}

/** Those whose conditions all hold for the value, in order of precedence. */
function holding(files: Filed<Entry>, value: unknown, of: ConditionsOf): Entry[] {
  const found = files.candidates(value).filter(({ rule }) => of(rule).every(({ test }) => test(value)));
  return found.sort((one, other) => one.rank - other.rank);
}
