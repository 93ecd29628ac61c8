/**
 * Actions and roles come from a vocabulary, so what the rules ask of them is asked once per word and remembered.
 *
 * Values that every condition on their field treats alike are of one kind. A value which some condition names is a kind by
 * itself; of any other only matters which patterns and other tests hold for it. So even an action that was never seen
 * before shares what was found out about its like.
 */
import { isScalar } from './operators.js';
import type { CompiledCondition } from './rules.js';

/**
 * So many values that no condition names are remembered, then it starts over. Actions that are all different would only fill
 * the memory: to test one more costs less than to keep a great many.
 */
const MAX_SEEN = 2048;

export class Kinds<Kind> {
  /** Each value that some condition names, and the missing one; null until it is asked for. */
  private readonly named = new Map<unknown, Kind | null>([[undefined, null]]);
  private readonly tests = new Filed<{ id: number; condition: CompiledCondition }>();
  private readonly alike = new Map<string, Kind>();
  private readonly seen = new Map<string, Kind>();

  private readonly keys = new Set<string>();

  /** @param make what is known of all values of a kind, from one of them */
  constructor(private readonly make: (value: unknown) => Kind) {}

  /** To be told of every condition on the field before the first value is asked for. */
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

  of(value: unknown): Kind {
    const known = this.named.get(value);
    if (known) return known;
    if (known === undefined) return typeof value === 'string' ? this.ofText(value) : this.make(value);
    const kind = this.make(value);
    this.named.set(value, kind);
    return kind;
  }

  forget(): void {
    for (const value of this.named.keys()) this.named.set(value, null);
    this.alike.clear();
    this.seen.clear();
  }

  private ofText(value: string): Kind {
    const tests = this.tests.candidates(value);
    // Where no test looks at it, the value is found as fast without being remembered.
    if (tests.length === 0) return this.ofSignature('', value);
    const known = this.seen.get(value);
    if (known) return known;
    let signature = '';
    for (const { id, condition } of tests) {
      if (condition.test(value)) signature += `${id},`;
    }
    const kind = this.ofSignature(signature, value);
    if (this.seen.size >= MAX_SEEN) this.seen.clear();
    this.seen.set(value, kind);
    return kind;
  }

  private ofSignature(signature: string, value: string): Kind {
    const known = this.alike.get(signature);
    if (known) return known;
    const kind = this.make(value);
    this.alike.set(signature, kind);
    return kind;
  }
}

/** Things filed under what a condition asks of a value, so that a value leads to the few whose conditions may hold. */
export class Filed<Thing> {
  private readonly byValue = new Map<unknown, Thing[]>();
  private readonly byPrefix = new Map<string, Thing[]>();
  private readonly lengths = new Set<number>();
  private readonly others: Thing[] = [];

  add(thing: Thing, { hint }: CompiledCondition): void {
    if (hint?.by === 'values') {
      for (const value of hint.values) file(this.byValue, value, thing);
    } else if (hint?.by === 'prefix') {
      file(this.byPrefix, hint.prefix, thing);
      this.lengths.add(hint.prefix.length);
    } else {
      this.others.push(thing);
    }
  }

  candidates(value: unknown): readonly Thing[] {
    let found = this.others;
    const same = this.byValue.get(value);
    if (same) found = found.concat(same);
    if (typeof value !== 'string') return found;
    for (const length of this.lengths) {
      if (length > value.length) continue;
      const begun = this.byPrefix.get(value.slice(0, length));
      if (begun) found = found.concat(begun);
    }
    return found;
  }
}

function file<Key, Thing>(files: Map<Key, Thing[]>, key: Key, thing: Thing): void {
  const filed = files.get(key);
  if (filed) filed.push(thing);
  else files.set(key, [thing]);
}
