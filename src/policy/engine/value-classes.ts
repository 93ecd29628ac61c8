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

export class ValueClasses<Info> {
  /** Each value that a condition names, and `undefined` for a missing field. Null until the value first occurs. */
  private readonly named = new Map<unknown, Info | null>([[undefined, null]]);
  private readonly tests = new CandidateIndex<{ id: number; condition: CompiledCondition }>();
  /** By signature: the ids of the tests that hold. */
  private readonly bySignature = new Map<string, Info>();
  private readonly seen = new Map<string, Info>();
  /** The keys of the tests that were added. */
  private readonly keys = new Set<string>();

  /** @param make computes the information about a class from any of its values */
  constructor(private readonly make: (value: unknown) => Info) {}

  /** Every condition on the field must be added before the first call of `of`. */
  add(condition: CompiledCondition): void {
    const { key, source } = condition;
    if (key === undefined) {
      const value: unknown = source.value;
      if (!Array.isArray(value)) this.named.set(value, null);
      else for (const one of value) if (isScalar(one)) this.named.set(one, null);
      return;
    }
    if (this.keys.has(key)) return;
    this.tests.add({ id: this.keys.size, condition }, condition);
    this.keys.add(key);
  }

  of(value: unknown): Info {
    const cached = this.named.get(value);
    if (cached) return cached;
    if (cached === undefined) return typeof value === 'string' ? this.ofText(value) : this.make(value);
    const info = this.make(value);
    this.named.set(value, info);
    return info;
  }

  clear(): void {
    for (const value of this.named.keys()) this.named.set(value, null);
    this.bySignature.clear();
    this.seen.clear();
  }

  private ofText(value: string): Info {
    const tests = this.tests.candidates(value);
    // Without tests the signature is known, so a cache entry would not be faster.
    if (tests.length === 0) return this.ofSignature('', value);
    const cached = this.seen.get(value);
    if (cached) return cached;
    let signature = '';
    for (const { id, condition } of tests) {
      if (condition.test(value)) signature += `${id},`;
    }
    const info = this.ofSignature(signature, value);
    if (this.seen.size >= MAX_SEEN) this.seen.clear();
    this.seen.set(value, info);
    return info;
  }

  private ofSignature(signature: string, value: string): Info {
    const cached = this.bySignature.get(signature);
    if (cached) return cached;
    const info = this.make(value);
    this.bySignature.set(signature, info);
    return info;
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
