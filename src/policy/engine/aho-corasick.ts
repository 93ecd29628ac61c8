/**
 * Finds which of many parts a text contains, in one pass over the text: the automaton of Aho and Corasick. A state is the
 * longest suffix of the text read so far that is a prefix of a part.
 */
export class PartFinder<Value> {
  /** The first transition of each state. Most states have only one, so a map for each state would waste memory. */
  private readonly unit: number[] = [-1];
  private readonly next: number[] = [0];
  /** The further transitions. */
  private readonly branches: (Map<number, number> | undefined)[] = [undefined];
  /** The state to continue with if no transition fits: the longest proper suffix that is also a prefix of a part. */
  private readonly fallback: number[] = [0];
  /** The value of the part that ends in a state, and the next state along the fallbacks in which a part ends. */
  private readonly found: (Value | undefined)[] = [undefined];
  private readonly alsoFound: number[] = [0];

  constructor(parts: ReadonlyMap<string, Value>) {
    for (const [part, value] of parts) this.found[this.grow(part)] = value;
    this.link();
  }

  /** Calls `each` once for every part that occurs, however often it occurs. */
  find(text: string, each: (value: Value) => void): void {
    let seen: Set<number> | undefined;
    let state = 0;
    for (let i = 0; i < text.length; i++) {
      state = this.step(state, text.charCodeAt(i));
      let at = this.found[state] === undefined ? this.alsoFound[state] : state;
      // What ends in a state that was seen before was found then.
      for (; at !== 0 && seen?.has(at) !== true; at = this.alsoFound[at]) {
        seen ??= new Set();
        seen.add(at);
        each(this.found[at] as Value);
      }
    }
  }

  private step(from: number, unit: number): number {
    for (let state = from; ; state = this.fallback[state]) {
      const to = this.follow(state, unit);
      if (to !== undefined) return to;
      if (state === 0) return 0;
    }
  }

  private follow(state: number, unit: number): number | undefined {
    return this.unit[state] === unit ? this.next[state] : this.branches[state]?.get(unit);
  }

  private grow(part: string): number {
    let state = 0;
    for (let i = 0; i < part.length; i++) {
      const unit = part.charCodeAt(i);
      state = this.follow(state, unit) ?? this.add(state, unit);
    }
    return state;
  }

  private add(state: number, unit: number): number {
    const to = this.unit.push(-1) - 1;
    this.next.push(0);
    this.branches.push(undefined);
    this.fallback.push(0);
    this.found.push(undefined);
    this.alsoFound.push(0);
    if (this.unit[state] === -1) {
      this.unit[state] = unit;
      this.next[state] = to;
    } else {
      const branches = this.branches[state] ?? new Map<number, number>();
      this.branches[state] = branches.set(unit, to);
    }
    return to;
  }

  private *transitions(state: number): Iterable<[number, number]> {
    if (this.unit[state] !== -1) yield [this.unit[state], this.next[state]];
    yield* this.branches[state] ?? [];
  }

  /** Breadth first: the fallback of a state is shorter, so it is linked before the state. */
  private link(): void {
    const queue = Array.from(this.transitions(0), ([, to]) => to);
    for (const state of queue) {
      for (const [unit, to] of this.transitions(state)) {
        queue.push(to);
        this.fallback[to] = this.step(this.fallback[state], unit);
        const fallback = this.fallback[to];
        this.alsoFound[to] = this.found[fallback] === undefined ? this.alsoFound[fallback] : fallback;
      }
    }
  }
}
