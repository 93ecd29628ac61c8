/**
 * Finds the first matching rule among many, without testing most of them.
 *
 * An index groups rules by one condition on one field: its values, its prefix, a part of the text, or a bound. The value in
 * the request then leads to the few rules that can match. Rules that fit no index are tested one by one, in order of
 * precedence.
 */

import { PartFinder } from './aho-corasick.js';
import type { Read } from './fields.js';
import type { Scalar } from './operators.js';
import type { EvaluateRequest } from './policy.dto.js';
import type { CompiledCondition, CompiledRule, Hint } from './rules.js';

/** A rule in an index. */
export interface Entry {
  /** The position in the order of precedence: the matching rule with the lowest rank decides. */
  rank: number;
  rule: CompiledRule;
  /** The conditions that must still be tested; the path through the indexes has settled the others. */
  open: readonly CompiledCondition[];
}

export interface Lookup {
  /** The lowest rank below `bound` whose rule matches; `bound` where there is none. */
  first(request: EvaluateRequest, bound: number): number;
}

type Hinted<By> = Entry & { condition: CompiledCondition; hint: Extract<Hint, { by: By }> };

/** Up to this number, testing the rules one by one is faster than an index. */
const FEW = 8;

export const NOTHING: Lookup = { first: (_request, bound) => bound };

/** @param entries in order of precedence */
export function lookupOf(entries: readonly Entry[]): Lookup {
  if (entries.length === 0) return NOTHING;
  if (entries.length <= FEW) return new OneByOne(entries);
  return (
    byValues(entries) ?? byBound(entries) ?? byPrefix(entries) ?? byPart(entries) ?? new OneByOne(entries)
  );
}

class OneByOne implements Lookup {
  constructor(private readonly entries: readonly Entry[]) {}

  first(request: EvaluateRequest, bound: number): number {
    for (const { rank, open } of this.entries) {
      if (rank >= bound) return bound;
      if (allHold(open, request)) return rank;
    }
    return bound;
  }
}

function allHold(conditions: readonly CompiledCondition[], request: EvaluateRequest): boolean {
  for (const { test, read } of conditions) if (!test(read(request))) return false;
  return true;
}

/** The rules under one key. Their own lookup is built on first use: many keys never occur in a request. */
class Bucket implements Lookup {
  private readonly entries: Entry[] = [];
  private lookup: Lookup | undefined;

  add(entry: Entry): void {
    this.entries.push(entry);
  }

  first(request: EvaluateRequest, bound: number): number {
    if (this.entries[0].rank >= bound) return bound;
    this.lookup ??= lookupOf(this.entries);
    return this.lookup.first(request, bound);
  }
}

class Buckets<Key> {
  readonly map = new Map<Key, Bucket>();

  add(key: Key, entry: Entry): void {
    const bucket = this.map.get(key) ?? new Bucket();
    this.map.set(key, bucket);
    bucket.add(entry);
  }
}

class ByValue implements Lookup {
  constructor(
    private readonly read: Read,
    private readonly buckets: Map<unknown, Bucket>,
    private readonly others: Lookup,
  ) {}

  first(request: EvaluateRequest, bound: number): number {
    const bucket = this.buckets.get(this.read(request));
    return this.others.first(request, bucket === undefined ? bound : bucket.first(request, bound));
  }
}

function byValues(entries: readonly Entry[]): Lookup | undefined {
  const found = commonest(entries, 'values', ({ field }) => field);
  if (!found) return undefined;
  const buckets = new Buckets<Scalar>();
  for (const entry of found.entries) {
    const left = without(entry, entry.condition);
    for (const value of entry.hint.values) buckets.add(value, left);
  }
  return new ByValue(found.read, buckets.map, lookupOf(found.others));
}

class ByPrefix implements Lookup {
  private readonly lengths: readonly number[];

  constructor(
    private readonly read: Read,
    private readonly buckets: Map<string, Bucket>,
    private readonly others: Lookup,
  ) {
    this.lengths = [...new Set([...buckets.keys()].map(({ length }) => length))].sort((a, b) => a - b);
  }

  first(request: EvaluateRequest, bound: number): number {
    const text = this.read(request);
    let best = bound;
    if (typeof text === 'string') {
      for (const length of this.lengths) {
        if (length > text.length) break;
        const bucket = this.buckets.get(text.slice(0, length));
        if (bucket !== undefined) best = bucket.first(request, best);
      }
    }
    return this.others.first(request, best);
  }
}

function byPrefix(entries: readonly Entry[]): Lookup | undefined {
  const found = commonest(entries, 'prefix', ({ field }) => field);
  if (!found) return undefined;
  const buckets = new Buckets<string>();
  for (const entry of found.entries) {
    const { condition, hint } = entry;
    const left = hint.exact ? without(entry, condition) : withoutHint(entry, condition);
    buckets.add(hint.prefix, left);
  }
  return new ByPrefix(found.read, buckets.map, lookupOf(found.others));
}

class ByPart implements Lookup {
  private readonly finder: PartFinder<Bucket>;

  constructor(
    private readonly read: Read,
    private readonly buckets: Map<string, Bucket>,
    private readonly others: Lookup,
  ) {
    this.finder = new PartFinder(buckets);
  }

  first(request: EvaluateRequest, bound: number): number {
    const actual = this.read(request);
    let best = bound;
    const search = (bucket: Bucket): void => {
      best = bucket.first(request, best);
    };
    if (typeof actual === 'string') this.finder.find(actual, search);
    else if (Array.isArray(actual)) for (const member of actual) this.searchMember(member, search);
    return this.others.first(request, best);
  }

  private searchMember(member: unknown, search: (bucket: Bucket) => void): void {
    const bucket = this.buckets.get(member as string);
    if (bucket !== undefined) search(bucket);
  }
}

function byPart(entries: readonly Entry[]): Lookup | undefined {
  const found = commonest(entries, 'part', ({ field }) => field);
  if (!found) return undefined;
  const buckets = new Buckets<string>();
  for (const entry of found.entries) buckets.add(entry.hint.part, without(entry, entry.condition));
  return new ByPart(found.read, buckets.map, lookupOf(found.others));
}

/** Rules whose only open condition is a bound, sorted by it. A binary search finds all that hold; `ranks` has the lowest of them. */
class ByBound implements Lookup {
  private readonly bounds: Float64Array;
  /** For each position, the lowest rank up to it. */
  private readonly ranks: Int32Array;
  /** -1 for `<` and `<=`: with both sides negated they become `>` and `>=`. */
  private readonly sign: number;
  private readonly inclusive: boolean;

  constructor(
    private readonly read: Read,
    operator: string,
    entries: readonly Hinted<'bound'>[],
    private readonly others: Lookup,
  ) {
    this.sign = operator.startsWith('<') ? -1 : 1;
    this.inclusive = operator.endsWith('=');
    const sorted = [...entries].sort((a, b) => this.sign * (a.hint.bound - b.hint.bound));
    this.bounds = Float64Array.from(sorted, ({ hint }) => this.sign * hint.bound);
    this.ranks = Int32Array.from(sorted, ({ rank }) => rank);
    for (let i = 1; i < this.ranks.length; i++) this.ranks[i] = Math.min(this.ranks[i], this.ranks[i - 1]);
  }

  first(request: EvaluateRequest, bound: number): number {
    const actual = this.read(request);
    const count = typeof actual === 'number' ? this.countUpTo(this.sign * actual) : 0;
    return this.others.first(request, count === 0 ? bound : Math.min(bound, this.ranks[count - 1]));
  }

  private countUpTo(actual: number): number {
    const { bounds, inclusive } = this;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (inclusive ? bounds[middle] <= actual : bounds[middle] < actual) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function byBound(entries: readonly Entry[]): Lookup | undefined {
  const alone = ({ open }: Entry): boolean => open.length === 1;
  const found = commonest(entries, 'bound', ({ field, source }) => `${source.operator} ${field}`, alone);
  if (!found) return undefined;
  return new ByBound(found.read, found.entries[0].hint.operator, found.entries, lookupOf(found.others));
}

/** Finds the field that most entries have a hint of this type for; `undefined` if too few entries share one. */
function commonest<By extends Hint['by']>(
  entries: readonly Entry[],
  by: By,
  keyOf: (condition: CompiledCondition) => string,
  fits: (entry: Entry) => boolean = () => true,
): { read: Read; entries: Hinted<By>[]; others: Entry[] } | undefined {
  const candidates = entries.map((entry) =>
    fits(entry) ? entry.open.filter(({ hint }) => hint?.by === by) : [],
  );
  const counts = new Map<string, number>();
  for (const conditions of candidates) {
    for (const key of new Set(conditions.map(keyOf))) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const [best] = [...counts].sort((a, b) => b[1] - a[1]);
  if (best === undefined || best[1] <= FEW) return undefined;
  const hinted: Hinted<By>[] = [];
  const others: Entry[] = [];
  entries.forEach((entry, i) => {
    const condition = candidates[i].find((one) => keyOf(one) === best[0]);
    if (condition === undefined) others.push(entry);
    else
      hinted.push({
        rank: entry.rank,
        rule: entry.rule,
        open: entry.open,
        condition,
        hint: condition.hint as never,
      });
  });
  return { read: hinted[0].condition.read, entries: hinted, others };
}

/** The entry without a condition that the index has settled. */
function without({ rank, rule, open }: Entry, condition: CompiledCondition): Entry {
  return { rank, rule, open: open.filter((one) => one !== condition) };
}

/** The condition must still be tested, but its hint is used: another index of it would not help. */
function withoutHint({ rank, rule, open }: Entry, condition: CompiledCondition): Entry {
  const { field, read, test, source, key } = condition;
  const tested: CompiledCondition = { field, read, test, source, key, hint: undefined };
  return { rank, rule, open: open.map((one) => (one === condition ? tested : one)) };
}
