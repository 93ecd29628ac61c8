/** What long texts and lists contain, found in one pass over each, however many conditions ask. */
import { PartFinder } from './aho-corasick.js';
import { type CompiledCondition, type CompiledRule, conditionsOf } from './rules.js';

/** Up to this length it is faster to look for each part on its own, and costs next to nothing. */
export const SHORT = 256;

/** The parts that the conditions on each field look for. */
export class Parts {
  private readonly finders = new Map<string, PartFinder<string>>();

  constructor(private readonly rules: readonly CompiledRule[]) {}

  /** Built when it is needed: most decisions never need it. */
  finderOf(field: string): PartFinder<string> {
    const known = this.finders.get(field);
    if (known) return known;
    const parts = new Map<string, string>();
    for (const condition of this.rules.flatMap(conditionsOf)) {
      if (condition.field !== field || condition.cost?.key !== undefined) continue;
      const part = condition.cost?.part;
      if (typeof part === 'string' && part !== '') parts.set(part, part);
    }
    const finder = new PartFinder(parts);
    this.finders.set(field, finder);
    return finder;
  }
}

/** The long values of one request. */
export class Contents {
  private readonly found = new Map<string, ReadonlySet<unknown>>();

  constructor(private readonly parts: Parts) {}

  /** Whether a long value contains the part; undefined for a value that the condition may look through itself. */
  contains({ field, source }: CompiledCondition, actual: unknown, part: unknown): boolean | undefined {
    const isText = typeof actual === 'string';
    if (!isText && !(Array.isArray(actual) && source.operator === 'contains')) return undefined;
    if (actual.length <= SHORT || (isText && (typeof part !== 'string' || part === ''))) return undefined;
    const found =
      this.found.get(field) ?? (isText ? this.partsIn(field, actual) : new Set(actual as unknown[]));
    this.found.set(field, found);
    return found.has(part);
  }

  private partsIn(field: string, text: string): Set<unknown> {
    const found = new Set<unknown>();
    this.parts.finderOf(field).find(text, (part) => found.add(part));
    return found;
  }
}
