/**
 * Finds which of many texts a text contains, in one pass over it: the automaton of Aho and Corasick. Each state stands for
 * the longest end of what was read that begins one of the texts.
 */
export class PartFinder<Value> {
  /** Most states have one way on; a map for each of them would take more room than all the rest. */
  private readonly unit: number[] = [-1];
  private readonly next: number[] = [0];
  private readonly branches: (Map<number, number> | undefined)[] = [undefined];
  /** The state of the longest proper end that also begins a text. */
  private readonly fallback: number[] = [0];
  /** What is found in a state: its own text, and the nearest state down the fallbacks in which one is found. */
  private readonly found: (Value | undefined)[] = [undefined];
  private readonly alsoFound: number[] = [0];

  constructor(parts: ReadonlyMap<string, Value>) {
    for (const [part, value] of parts) this.found[this.grow(part)] = value;
    this.link();
  }

  /** Calls back for each of the parts, as often as it stands in the text. */
  find(text: string, each: (value: Value) => void): void {
    let state = 0;
    for (let i = 0; i < text.length; i++) {
      state = this.step(state, text.charCodeAt(i));
      for (let at = state; at !== 0; at = this.alsoFound[at]) {
        const value = this.found[at];
        if (value !== undefined) each(value);
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

  private *ways(state: number): Iterable<[number, number]> {
    if (this.unit[state] !== -1) yield [this.unit[state], this.next[state]];
    yield* this.branches[state] ?? [];
  }

  /** Breadth first, so that the fallback of a state, which is shorter, is linked before it. */
  private link(): void {
    const queue = Array.from(this.ways(0), ([, to]) => to);
    for (const state of queue) {
      for (const [unit, to] of this.ways(state)) {
        queue.push(to);
        this.fallback[to] = this.step(this.fallback[state], unit);
        const fallback = this.fallback[to];
        this.alsoFound[to] = this.found[fallback] === undefined ? this.alsoFound[fallback] : fallback;
      }
    }
  }
}
