/** Makes a snapshot of the policies, compiling only what is not in the one before. */
import { atOnce } from '../../shared/time-slices.js';
import { type Pattern, patternOf } from './patterns.js';
import { byPrecedence, type CompiledRule, compileRule } from './rules.js';
import { type Compilable, Snapshot, type Unit } from './snapshot.js';
import { fallbackVerdict } from './verdicts.js';

export interface CompileOptions {
  /** What is unchanged since is taken over. */
  previous?: Snapshot;
  /** Of the whole set of policies. */
  revision?: number;
  /** How many kinds of actions and roles, and pairs of them, are remembered at once. */
  remembered?: number;
}

const REMEMBERED = 65_536;
/** What is done between two yields: well under a millisecond without patterns, a few with the dearest. */
const RULES_PER_SLICE = 32;

export function compile(policies: Iterable<Compilable>, options: CompileOptions = {}): Snapshot {
  return atOnce(compileInSlices(policies, options));
}

/** The same in steps, for who has other things to do meanwhile; the snapshot in use stays as it is until this returns. */
export function* compileInSlices(
  policies: Iterable<Compilable>,
  { previous, revision = 0, remembered = REMEMBERED }: CompileOptions = {},
): Generator<void, Snapshot, void> {
  const patterns = remembering(patternOf);
  const units = new Map<string, Unit>();
  for (const policy of policies) {
    const before = previous?.units.get(policy.policy_id);
    const unchanged = before !== undefined && isSame(before.policy, policy);
    units.set(policy.policy_id, unchanged ? before : yield* compilePolicy(policy, patterns));
  }
  yield;
  const rules = inOrder(units, previous);
  yield;
  const fallback = fallbackVerdict([...units.values()].map(({ policy }) => policy));
  return yield* Snapshot.build({ revision, units, rules, fallback, remembered });
}

function* compilePolicy(
  policy: Compilable,
  patterns: (source: string) => Pattern,
): Generator<void, Unit, void> {
  const rules: CompiledRule[] = [];
  const enabled = policy.enabled ? policy.rules.filter((rule) => rule.enabled) : [];
  for (const [i, rule] of enabled.entries()) {
    if (i % RULES_PER_SLICE === 0) yield;
    rules.push(compileRule(policy, rule, patterns));
  }
  // Whole runs that are in order are merged much faster than rules in any order are sorted.
  return { policy, rules: rules.sort(byPrecedence) };
}

/** A policy that was deleted and made anew may have the revision of the old one, but not its times. */
function isSame(one: Compilable, other: Compilable): boolean {
  if (one === other) return true;
  return (
    one.revision !== undefined &&
    one.revision === other.revision &&
    one.created_at === other.created_at &&
    one.updated_at === other.updated_at
  );
}

/** Sorting what is nearly sorted is fast: the rules that were there before keep their order. */
function inOrder(units: ReadonlyMap<string, Unit>, previous: Snapshot | undefined): CompiledRule[] {
  const rules: CompiledRule[] = [];
  const kept = new Set<Unit>();
  for (const unit of previous?.units.values() ?? []) {
    if (units.get(unit.policy.policy_id) === unit) kept.add(unit);
  }
  const isKept = ({ policyId }: CompiledRule): boolean => {
    const unit = units.get(policyId);
    return unit !== undefined && kept.has(unit);
  };
  for (const rule of previous?.rules ?? []) if (isKept(rule)) rules.push(rule);
  for (const unit of units.values()) if (!kept.has(unit)) for (const rule of unit.rules) rules.push(rule);
  return rules.sort(byPrecedence);
}

function remembering(make: (source: string) => Pattern): (source: string) => Pattern {
  const made = new Map<string, Pattern>();
  return (source) => {
    const pattern = made.get(source) ?? make(source);
    made.set(source, pattern);
    return pattern;
  };
}
