/**
 * Actions and roles come from a vocabulary, so what the rules ask of them is asked once per word and remembered.
 *
 * Values that every condition on their field treats alike are of one kind. A value which some condition names is a kind by
 * itself; of any other only matters which patterns and other tests hold for it. So even an action that was never seen
 * before shares what was found out about its like.
 */
import { isScalar } from './policy.operators.js';
import type { CompiledCondition } from './policy.rules.js';

/** These hold or not by which value it is, and by nothing else about it. */
const BY_VALUE = ['==', '!=', 'in', 'not_in', 'exists'];

export class Kinds<Kind> {
  /** Each value that some condition names, and the missing one; null until it is asked for. */
  private readonly named = new Map<unknown, Kind | null>([[undefined, null]]);
  private readonly tests = new Filed<{ id: number; condition: CompiledCondition }>();
  private readonly alike = new Map<string, Kind>();
  private readonly seen = new Map<string, Kind>();

  /**
   * @param conditions all on this field
   * @param make what is known of all values of a kind, from one of them
   * @param limit so many values that no condition names are remembered; then it starts over
   */
  constructor(
    conditions: Iterable<CompiledCondition>,
    private readonly make: (value: unknown) => Kind,
    private readonly limit: number,
  ) {
    const keys = new Set<string>();
    for (const condition of conditions) {
      const { operator, value } = condition.source;
      if (BY_VALUE.includes(operator)) {
        for (const one of Array.isArray(value) ? (value as unknown[]) : [value])
          if (isScalar(one)) this.named.set(one, null);
        continue;
      }
      const key = `${operator} ${JSON.stringify(value)}`;
      if (keys.has(key)) continue;
      this.tests.add({ id: keys.size, condition }, condition);
      keys.add(key);
    }
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
    let kind = this.seen.get(value);
    if (kind) return kind;
    const holding = this.tests.candidates(value).filter(({ condition }) => condition.test(value));
    const signature = holding.map(({ id }) => id).join();
    kind = this.alike.get(signature) ?? this.make(value);
    this.alike.set(signature, kind);
    // Where no test looks at it, the value is found as fast without being remembered.
    if (this.tests.isEmpty) return kind;
    if (this.seen.size >= this.limit) this.seen.clear();
    this.seen.set(value, kind);
    return kind;
  }
}

/** Things filed under what a condition asks of a value, so that a value leads to the few whose conditions may hold. */
export class Filed<Thing> {
  private readonly byValue = new Map<unknown, Thing[]>();
  private readonly byPrefix = new Map<string, Thing[]>();
  private readonly lengths = new Set<number>();
  private readonly others: Thing[] = [];

  get isEmpty(): boolean {
    return this.byValue.size === 0 && this.byPrefix.size === 0 && this.others.length === 0;
  }

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

  candidates(value: unknown): Thing[] {
    const found = [...this.others];
    for (const thing of this.byValue.get(value) ?? []) found.push(thing);
    if (typeof value !== 'string') return found;
    for (const length of this.lengths) {
      if (length > value.length) continue;
      for (const thing of this.byPrefix.get(value.slice(0, length)) ?? []) found.push(thing);
    }
    return found;
  }
}

function file<Key, Thing>(files: Map<Key, Thing[]>, key: Key, thing: Thing): void {
  const filed = files.get(key);
  if (filed) filed.push(thing);
  else files.set(key, [thing]);
}
