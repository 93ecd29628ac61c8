/** Finds patterns that do not compile. In a file of its own, because drafts are compiled in a thread. */
import type { Fault } from '../../shared/errors.js';
import { PATTERNS, type Patterns } from './patterns.js';
import type { PolicyContent } from './policy.dto.js';

export function invalidPattern(
  operator: keyof Patterns,
  pattern: string,
  pointer: string,
  patterns: Patterns = PATTERNS,
): Fault | undefined {
  try {
    patterns[operator](pattern);
    return undefined;
  } catch (error) {
    const detail = `must be a regular expression of RE2: ${(error as Error).message}`;
    return { pointer, detail, code: 'invalid_pattern' };
  }
}

/** @param pointer the place of the policies in the body */
export function invalidPatterns(
  policies: readonly PolicyContent[],
  pointer: string,
  patterns: Patterns,
): Fault[] {
  const faults: Fault[] = [];
  for (const [i, policy] of policies.entries()) {
    for (const [j, rule] of policy.rules.entries()) {
      for (const [k, { operator, value }] of rule.conditions.entries()) {
        if (operator !== 'matches' && operator !== 'search') continue;
        const at = `${pointer}/${i}/rules/${j}/conditions/${k}/value`;
        const fault = invalidPattern(operator, String(value), at, patterns);
        if (fault) faults.push(fault);
      }
    }
  }
  return faults;
}
