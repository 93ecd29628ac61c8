/**
 * Caches what the rules say about the values of one field (`action` or `agent_role`).
 *
 * Two values are in the same class when every condition on the field treats them alike. Each value that a condition names
 * is a class of its own. For all other values the class depends only on which patterns and other tests hold for them. So an
 * action that was never seen before usually falls into a class that is cached already.
 */
import { isScalar } from './operators.js';
import type { CompiledCondition } from './rules.js';

/**
 * The most values that no condition names in the cache; then it is cleared. Without a limit, a caller that sends a new action
 * with each request would fill the memory.
 */
const MAX_SEEN = 2048;

/** A named value that has not occurred yet. */
const NOT_MADE = Symbol('not made');

export class ValueClasses<Class extends object> {
  /** The class of each value that a condition names, and of `undefined`, a missing field. */
  private readonly named = new Map<unknown, Class | typeof NOT_MADE>([[undefined, NOT_MADE]]);
  private readonly tests = new CandidateIndex<{ id: number; condition: CompiledCondition }>();
  /** The classes of all other texts, by signature: the ids of the tests that hold. */
  private readonly bySignature = new Map<string, Class>();
  /** The classes again, by the texts that have occurred. */
  private readonly seen = new Map<string, Class>();
  private readonly testKeys = new Set<string>();

  /** @param make makes a class from any of its values */
  constructor(private readonly make: (value: unknown) => Class) {}

  /** Every condition on the field must be added before the first call of `classOf`. */
  add(condition: CompiledCondition): void {
    const { testKey, source } = condition;
    if (testKey === undefined) this.addValues(source.value);
    else if (!this.testKeys.has(testKey)) {
      this.tests.add({ id: this.testKeys.size, condition }, condition);
      this.testKeys.add(testKey);
    }
  }

  private addValues(value: unknown): void {
    if (!Array.isArray(value)) this.named.set(value, NOT_MADE);
    else for (const one of value) if (isScalar(one)) this.named.set(one, NOT_MADE);
  }

  classOf(value: unknown): Class {
    const found = this.named.get(value);
    if (found === undefined) return typeof value === 'string' ? this.classOfText(value) : this.make(value);
    if (found !== NOT_MADE) return found;
    const made = this.make(value);
    this.named.set(value, made);
    return made;
  }

  clear(): void {
    for (const value of this.named.keys()) this.named.set(value, NOT_MADE);
    this.bySignature.clear();
    this.seen.clear();
  }

  private classOfText(value: string): Class {
    const tests = this.tests.candidates(value);
    // Without tests the signature is known, so a cache entry would not be faster.
    if (tests.length === 0) return this.classOfSignature('', value);
    const cached = this.seen.get(value);
    if (cached) return cached;
    let signature = '';
    for (const { id, condition } of tests) {
      if (condition.test(value)) signature += `${id},`;
    }
    const found = this.classOfSignature(signature, value);
    if (this.seen.size >= MAX_SEEN) this.seen.clear();
    this.seen.set(value, found);
    return found;
  }

  private classOfSignature(signature: string, value: string): Class {
    const cached = this.bySignature.get(signature);
    if (cached) return cached;
    const made = this.make(value);
    this.bySignature.set(signature, made);
    return made;
  }
}

/** Items by their condition. For a value it finds the few items whose condition can hold. */
export class CandidateIndex<Item> {
  private readonly byValue = new Map<unknown, Item[]>();
  private readonly byPrefix = new Map<string, Item[]>();
  /** The lengths of all prefixes. */
  private readonly lengths = new Set<number>();
  /** Items whose condition has no usable hint: candidates for every value. */
  private readonly others: Item[] = [];

  add(item: Item, { hint }: CompiledCondition): void {
    if (hint?.by === 'values') {
      for (const value of hint.values) addTo(this.byValue, value, item);
    } else if (hint?.by === 'prefix') {
      addTo(this.byPrefix, hint.prefix, item);
      this.lengths.add(hint.prefix.length);
    } else {
      this.others.push(item);
    }
  }

  candidates(value: unknown): readonly Item[] {
    let found = this.others;
    const same = this.byValue.get(value);
    if (same) found = found.concat(same);
    if (typeof value !== 'string') return found;
    for (const length of this.lengths) {
      if (length > value.length) continue;
      const withPrefix = this.byPrefix.get(value.slice(0, length));
      if (withPrefix) found = found.concat(withPrefix);
    }
    return found;
  }
}

function addTo<Key, Item>(lists: Map<Key, Item[]>, key: Key, item: Item): void {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}
