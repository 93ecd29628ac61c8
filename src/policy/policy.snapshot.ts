/** All enabled rules of all enabled policies, compiled and in order of precedence, ready to be asked. */
import type { EvaluateRequest, Policy, PolicyContent, Verdict } from './policy.dto.js';
import { Filed, Kinds } from './policy.kinds.js';
import { type Entry, type Lookup, lookupOf } from './policy.lookup.js';
import type { CompiledCondition, CompiledRule } from './policy.rules.js';

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

  private readonly actions: Kinds<ActionKind>;
  private readonly roles: Kinds<RoleKind>;
  private readonly anything: Lookup;
  private readonly limit: number;
  private remembered = 0;

  constructor({ revision, units, rules, fallback, remembered }: SnapshotParts) {
    this.revision = revision;
    this.units = units;
    this.rules = rules;
    this.fallback = fallback;
    this.limit = remembered;
    const entries = rules.map((rule, rank): Entry => ({ rank, rule, open: rule.others }));
    this.broken = entries.filter(({ rule }) => rule.broken !== undefined).map(({ rank }) => rank);
    const sound =
      this.broken.length === 0 ? entries : entries.filter(({ rule }) => rule.broken === undefined);
    const askingAction = sound.filter(({ rule }) => rule.onAction.length > 0);
    const askingRoleOnly = sound.filter(({ rule }) => rule.onAction.length === 0 && rule.onRole.length > 0);
    const byAction = filed(askingAction, onAction);
    const byRole = filed(askingRoleOnly, onRole);
    this.actions = new Kinds(
      conditions(sound, onAction),
      (action) => this.actionKind(action, byAction),
      remembered,
    );
    this.roles = new Kinds(conditions(sound, onRole), (role) => this.roleKind(role, byRole), remembered);
    this.anything = lookupOf(
      sound.filter(({ rule }) => rule.onAction.length === 0 && rule.onRole.length === 0),
    );
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

  private actionKind(action: unknown, byAction: Filed<Entry>): ActionKind {
    this.remember();
    const entries = holding(byAction, action, onAction);
    const paired = entries.filter(({ rule }) => rule.onRole.length > 0);
    return {
      alone: lookupOf(entries.filter(({ rule }) => rule.onRole.length === 0)),
      paired: paired.length === 0 ? undefined : filed(paired, onRole),
      pairs: new Map(),
    };
  }

  private roleKind(role: unknown, byRole: Filed<Entry>): RoleKind {
    this.remember();
    return { role, alone: lookupOf(holding(byRole, role, onRole)) };
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

function* conditions(entries: readonly Entry[], of: ConditionsOf): Iterable<CompiledCondition> {
  for (const { rule } of entries) yield* of(rule);
}

/** Each under the condition that leaves the fewest candidates. */
function filed(entries: readonly Entry[], of: ConditionsOf): Filed<Entry> {
  const files = new Filed<Entry>();
  for (const entry of entries) {
    const all = of(entry.rule);
    const best =
      all.find(({ hint }) => hint?.by === 'values') ??
      all.find(({ hint }) => hint?.by === 'prefix') ??
      all[0];
    files.add(entry, best);
  }
  return files;
}

/** Those whose conditions all hold for the value, in order of precedence. */
function holding(files: Filed<Entry>, value: unknown, of: ConditionsOf): Entry[] {
  const found = files.candidates(value).filter(({ rule }) => of(rule).every(({ test }) => test(value)));
  return found.sort((one, other) => one.rank - other.rank);
}
