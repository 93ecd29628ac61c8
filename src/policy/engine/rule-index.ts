/**
 * Finds the first matching rule among many, without testing most of them.
 *
 * An index groups rules by one condition on one field: its values, its prefix, a part of the text, or a threshold. The value in
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
  /** The conditions that must still be tested. The indexes on the way to this entry have settled the others. */
  untested: readonly CompiledCondition[];
}

export interface Lookup {
  /** The lowest rank below `limit` whose rule matches; `limit` if there is none. */
  first(request: EvaluateRequest, limit: number): number;
}

/** An entry with the condition by which an index finds it. */
type HintedEntry<By> = Entry & { condition: CompiledCondition; hint: Extract<Hint, { by: By }> };

/** Up to this number, testing the rules one by one is faster than an index. */
const MAX_ONE_BY_ONE = 8;

export const NOTHING: Lookup = { first: (_request, limit) => limit };

/** @param entries in order of precedence */
export function lookupOf(entries: readonly Entry[]): Lookup {
  if (entries.length === 0) return NOTHING;
  if (entries.length <= MAX_ONE_BY_ONE) return new OneByOne(entries);
  return (
    indexByValue(entries) ??
    indexByThreshold(entries) ??
    indexByPrefix(entries) ??
    indexByPart(entries) ??
    new OneByOne(entries)
  );
}

class OneByOne implements Lookup {
  constructor(private readonly entries: readonly Entry[]) {}

  first(request: EvaluateRequest, limit: number): number {
    for (const { rank, untested } of this.entries) {
      if (rank >= limit) return limit;
      if (allHold(untested, request)) return rank;
    }
    return limit;
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

  first(request: EvaluateRequest, limit: number): number {
    if (this.entries[0].rank >= limit) return limit;
    this.lookup ??= lookupOf(this.entries);
    return this.lookup.first(request, limit);
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

class ValueIndex implements Lookup {
  constructor(
    private readonly read: Read,
    private readonly buckets: Map<unknown, Bucket>,
    private readonly others: Lookup,
  ) {}

  first(request: EvaluateRequest, limit: number): number {
    const bucket = this.buckets.get(this.read(request));
    return this.others.first(request, bucket === undefined ? limit : bucket.first(request, limit));
  }
}

function indexByValue(entries: readonly Entry[]): Lookup | undefined {
  const found = splitByCommonField(entries, 'values', ({ field }) => field);
  if (!found) return undefined;
  const buckets = new Buckets<Scalar>();
  for (const entry of found.entries) {
    const left = withoutCondition(entry, entry.condition);
    for (const value of entry.hint.values) buckets.add(value, left);
  }
  return new ValueIndex(found.read, buckets.map, lookupOf(found.others));
}

class PrefixIndex implements Lookup {
  private readonly lengths: readonly number[];

  constructor(
    private readonly read: Read,
    private readonly buckets: Map<string, Bucket>,
    private readonly others: Lookup,
  ) {
    this.lengths = [...new Set([...buckets.keys()].map(({ length }) => length))].sort((a, b) => a - b);
  }

  first(request: EvaluateRequest, limit: number): number {
    const text = this.read(request);
    let best = limit;
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

function indexByPrefix(entries: readonly Entry[]): Lookup | undefined {
  const found = splitByCommonField(entries, 'prefix', ({ field }) => field);
  if (!found) return undefined;
  const buckets = new Buckets<string>();
  for (const entry of found.entries) {
    const { condition, hint } = entry;
    const left = hint.exact ? withoutCondition(entry, condition) : withoutHint(entry, condition);
    buckets.add(hint.prefix, left);
  }
  return new PrefixIndex(found.read, buckets.map, lookupOf(found.others));
}

class PartIndex implements Lookup {
  private readonly finder: PartFinder<Bucket>;

  constructor(
    private readonly read: Read,
    private readonly buckets: Map<string, Bucket>,
    private readonly others: Lookup,
    private readonly spend: CompiledCondition['spend'],
  ) {
    this.finder = new PartFinder(buckets);
  }

  first(request: EvaluateRequest, limit: number): number {
    const actual = this.read(request);
    this.spend?.(actual);
    let best = limit;
    const search = (bucket: Bucket): void => {
      best = bucket.first(request, best);
    };
    if (typeof actual === 'string') this.finder.find(actual, search);
    // A member that occurs often is looked up once.
    else if (Array.isArray(actual)) for (const member of new Set(actual)) this.searchMember(member, search);
    return this.others.first(request, best);
  }

  private searchMember(member: unknown, search: (bucket: Bucket) => void): void {
    const bucket = this.buckets.get(member as string);
    if (bucket !== undefined) search(bucket);
  }
}

function indexByPart(entries: readonly Entry[]): Lookup | undefined {
  const found = splitByCommonField(entries, 'part', ({ field }) => field);
  if (!found) return undefined;
  const buckets = new Buckets<string>();
  for (const entry of found.entries) buckets.add(entry.hint.part, withoutCondition(entry, entry.condition));
  const { spend } = found.entries[0].condition;
  return new PartIndex(found.read, buckets.map, lookupOf(found.others), spend);
}

/**
 * Rules whose only untested condition compares with a threshold, sorted by it. A binary search finds all that hold; `ranks` has the
 * lowest of them.
 */
class ThresholdIndex implements Lookup {
  private readonly thresholds: Float64Array;
  /** For each threshold, the lowest rank up to it. */
  private readonly ranks: Int32Array;
  /** -1 for `<` and `<=`: with both sides negated they become `>` and `>=`. */
  private readonly sign: number;
  private readonly inclusive: boolean;

  constructor(
    private readonly read: Read,
    operator: string,
    entries: readonly HintedEntry<'threshold'>[],
    private readonly others: Lookup,
  ) {
    this.sign = operator.startsWith('<') ? -1 : 1;
    this.inclusive = operator.endsWith('=');
    const sorted = [...entries].sort((a, b) => this.sign * (a.hint.threshold - b.hint.threshold));
    this.thresholds = Float64Array.from(sorted, ({ hint }) => this.sign * hint.threshold);
    this.ranks = Int32Array.from(sorted, ({ rank }) => rank);
    for (let i = 1; i < this.ranks.length; i++) this.ranks[i] = Math.min(this.ranks[i], this.ranks[i - 1]);
  }

  first(request: EvaluateRequest, limit: number): number {
    const actual = this.read(request);
    const count = typeof actual === 'number' ? this.countUpTo(this.sign * actual) : 0;
    return this.others.first(request, count === 0 ? limit : Math.min(limit, this.ranks[count - 1]));
  }

  private countUpTo(actual: number): number {
    const { thresholds, inclusive } = this;
    let low = 0;
    let high = thresholds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (inclusive ? thresholds[middle] <= actual : thresholds[middle] < actual) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function indexByThreshold(entries: readonly Entry[]): Lookup | undefined {
  const isOnlyTest = ({ untested }: Entry): boolean => untested.length === 1;
  const keyOf = ({ field, source }: CompiledCondition): string => `${source.operator} ${field}`;
  const found = splitByCommonField(entries, 'threshold', keyOf, isOnlyTest);
  if (!found) return undefined;
  const { operator } = found.entries[0].hint;
  return new ThresholdIndex(found.read, operator, found.entries, lookupOf(found.others));
}

/**
 * Finds the field that most entries have a hint of this type for, and splits off the `others`. Returns `undefined` if too few
 * entries share a field for an index to help.
 */
function splitByCommonField<By extends Hint['by']>(
  entries: readonly Entry[],
  by: By,
  keyOf: (condition: CompiledCondition) => string,
  fits: (entry: Entry) => boolean = () => true,
): { read: Read; entries: HintedEntry<By>[]; others: Entry[] } | undefined {
  const candidates = entries.map((entry) =>
    fits(entry) ? entry.untested.filter(({ hint }) => hint?.by === by) : [],
  );
  const counts = new Map<string, number>();
  for (const conditions of candidates) {
    for (const key of new Set(conditions.map(keyOf))) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const [best] = [...counts].sort((a, b) => b[1] - a[1]);
  if (best === undefined || best[1] <= MAX_ONE_BY_ONE) return undefined;
  const hinted: HintedEntry<By>[] = [];
  const others: Entry[] = [];
  entries.forEach((entry, i) => {
    const condition = candidates[i].find((one) => keyOf(one) === best[0]);
    if (condition === undefined) others.push(entry);
    else
      hinted.push({
        rank: entry.rank,
        rule: entry.rule,
        untested: entry.untested,
        condition,
        hint: condition.hint as never,
      });
  });
  return { read: hinted[0].condition.read, entries: hinted, others };
}

/** The entry without a condition that the index has settled. */
function withoutCondition({ rank, rule, untested }: Entry, condition: CompiledCondition): Entry {
  return { rank, rule, untested: untested.filter((one) => one !== condition) };
}

/** The condition must still be tested, but its hint is used: another index of it would not help. */
function withoutHint({ rank, rule, untested }: Entry, condition: CompiledCondition): Entry {
  const tested: CompiledCondition = { ...condition, hint: undefined };
  return { rank, rule, untested: untested.map((one) => (one === condition ? tested : one)) };
}
