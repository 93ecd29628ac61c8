/** Finds what is probably a mistake in checked policies. The author gets warnings; the policies are written all the same. */
import type { Fault } from '../../shared/errors.js';
import { MAX_FAULTS } from '../../shared/shapes.js';
import type { Effect } from './effects.js';
import { saysWhere } from './patterns.js';
import type { Condition, PolicyContent } from './policy.dto.js';
import { unreachableInSlices } from './unreachable-rules.js';

/** The rules that are looked at between two yields. */
const RULES_PER_SLICE = 32;

/**
 * In slices, so that many rules do not block the event loop.
 * @param pointer the place of the policy in the body
 */
export function* warningsInSlices(policy: PolicyContent, pointer: string): Generator<void, Fault[], void> {
  const warnings = yield* unreachableInSlices([policy], () => pointer);
  const doubts: Fault[] = [];
  for (const [i, { effect, conditions }] of policy.rules.entries()) {
    if (i % RULES_PER_SLICE === 0) yield;
    for (const [j, condition] of conditions.entries()) {
      if (doubts.length >= MAX_FAULTS) break;
      const doubt = doubtOf(condition, effect);
      if (doubt) doubts.push({ pointer: `${pointer}/rules/${i}/conditions/${j}/value`, ...doubt });
    }
  }
  return [...warnings, ...doubts];
}

function doubtOf({ operator, value }: Condition, effect: Effect): Omit<Fault, 'pointer'> | undefined {
  if (hasTemplate(value)) {
    const detail =
      'is compared as it is written: conditions do not fill in templates; write the value itself, or name a field in value_from';
    return { detail, code: 'template_literal' };
  }
  if (effect !== 'deny' || operator !== 'matches' || saysWhere(String(value))) return undefined;
  const detail =
    'matches only at the start of the text, so this rule may deny less than it should; use search to match anywhere, or begin the pattern with ^';
  return { detail, code: 'anchored_deny' };
}

function hasTemplate(value: unknown): boolean {
  if (typeof value === 'string') return /\$\{[^}]*\}/.test(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasTemplate);
}
