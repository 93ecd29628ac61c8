/** Compiles policies into a snapshot. It reuses the compiled policies of the previous snapshot that have not changed. */
import { atOnce } from '../../shared/time-slices.js';
import { MAX_COST } from './costs.js';
import { PATTERNS, type Pattern, type Patterns } from './patterns.js';
import type { Rule } from './policy.dto.js';
import { byPrecedence, type CompiledRule, compileRule } from './rules.js';
import { type Compilable, Snapshot, type Unit } from './snapshot.js';
import { fallbackVerdict } from './verdicts.js';

export interface CompileOptions {
  /** Its unchanged policies are reused. */
  previous?: Snapshot;
  /** The revision of the set of policies. */
  revision?: number;
  /** The most classes of actions and roles, and pairs of them, that the snapshot caches. */
  cacheSize?: number;
  /** What the conditions of one decision may cost. */
  budget?: number;
  /** Patterns that were compiled before. */
  patterns?: Patterns;
}

const CACHE_SIZE = 65_536;
/** The rules between two yields; their patterns are compiled before, each in a slice of its own. */
const RULES_PER_SLICE = 32;

export function compile(policies: Iterable<Compilable>, options: CompileOptions = {}): Snapshot {
  return atOnce(compileInSlices(policies, options));
}

/** Compiles in slices, so that decisions go on. The previous snapshot stays valid. */
export function* compileInSlices(
  policies: Iterable<Compilable>,
  {
    previous,
    revision = 0,
    cacheSize = CACHE_SIZE,
    budget = MAX_COST,
    patterns = cachedPatterns(),
  }: CompileOptions = {},
): Generator<void, Snapshot, void> {
  const units = new Map<string, Unit>();
  for (const policy of policies) {
    const old = previous?.units.get(policy.policy_id);
    const isUnchanged = old !== undefined && isSame(old.policy, policy);
    units.set(policy.policy_id, isUnchanged ? old : yield* compilePolicy(policy, patterns));
  }
  yield;
  const rules = inOrder(units, previous);
  yield;
  const fallback = fallbackVerdict([...units.values()].map(({ policy }) => policy));
  return yield* Snapshot.build({ revision, units, rules, fallback, cacheSize, budget });
}

function* compilePolicy(policy: Compilable, patterns: Patterns): Generator<void, Unit, void> {
  const rules: CompiledRule[] = [];
  const enabled = policy.enabled ? policy.rules.filter((rule) => rule.enabled) : [];
  for (const [i, rule] of enabled.entries()) {
    if (i % RULES_PER_SLICE === 0) yield;
    yield* compilePatterns(rule, patterns);
    rules.push(compileRule(policy, rule, patterns));
  }
  // Sorted here, because the final sort is much faster when each policy is in order already.
  return { policy, rules: rules.sort(byPrecedence) };
}

/** Compares the times too: a policy that was deleted and created again may have the same revision, but not the same times. */
function isSame(one: Compilable, other: Compilable): boolean {
  if (one === other) return true;
  return (
    one.revision !== undefined &&
    one.revision === other.revision &&
    one.created_at === other.created_at &&
    one.updated_at === other.updated_at
  );
}

/** Keeps the order of the previous rules: sorting an almost sorted list is fast. */
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

/** Compiles the patterns of a rule one by one, because a large one takes milliseconds. `patterns` keeps them. */
export function* compilePatterns({ conditions }: Rule, patterns: Patterns): Generator<void, void, void> {
  if (!Array.isArray(conditions)) return;
  for (const { operator, value } of conditions) {
    if ((operator !== 'matches' && operator !== 'search') || typeof value !== 'string') continue;
    try {
      patterns[operator](value);
    } catch {
      // The condition with this pattern reports it.
    }
    yield;
  }
}

/** Compiles each pattern once. */
export function cachedPatterns(): Patterns {
  return { matches: cached(PATTERNS.matches), search: cached(PATTERNS.search) };
}

function cached(make: (source: string) => Pattern): (source: string) => Pattern {
  const cache = new Map<string, Pattern>();
  return (source) => {
    const pattern = cache.get(source) ?? make(source);
    cache.set(source, pattern);
    return pattern;
  };
}
