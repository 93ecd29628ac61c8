/** Polls the revisions of the watched collections and calls their watchers. */
import { revisionField } from './keys.js';
import type { RedisLink } from './link.js';

/** Well below a second, so that one late poll does not make memory stale. */
const POLL_MS = 250;
/** Differs from every revision, so the first poll after a watch or a connect counts as a change. */
const UNKNOWN = Symbol('unknown');

export class Watcher {
  private readonly watchers = new Map<string, Set<() => void>>();
  private readonly seen = new Map<string, string | null | typeof UNKNOWN>();
  private readonly timer: NodeJS.Timeout;
  private polling = false;
  /** When the last successful poll was sent. Every commit before it has been reported. */
  untilMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly link: RedisLink) {
    this.timer = setInterval(() => void this.poll(), POLL_MS);
    this.timer.unref();
    // Anything may have changed while the connection was away, and a failover may have lost commits.
    link.onConnect(() => {
      for (const name of this.watchers.keys()) this.seen.set(name, UNKNOWN);
      void this.poll();
    });
  }

  watch(name: string, changed: () => void): () => void {
    const watchers = this.watchers.get(name) ?? new Set();
    this.watchers.set(name, watchers.add(changed));
    this.seen.set(name, UNKNOWN);
    return () => watchers.delete(changed);
  }

  /** This process has committed, so its watchers need not wait for the poll. */
  committed(name: string, revision: string): void {
    if (!this.watchers.has(name)) return;
    this.seen.set(name, revision);
    this.notify(name);
  }

  close(): void {
    clearInterval(this.timer);
  }

  /** Also runs without watchers, because it sets `untilMs`. */
  private async poll(): Promise<void> {
    if (this.polling || this.link.closed) return;
    this.polling = true;
    const sentMs = performance.now();
    try {
      const names = [...this.watchers.keys()].filter((name) => this.watchers.get(name)?.size);
      const { collections } = this.link.keys;
      if (names.length === 0) await this.link.command('exists', [collections]);
      else {
        const found = (await this.link.command('hmget', [collections, ...names.map(revisionField)])) as (
          | string
          | null
        )[];
        for (const [i, name] of names.entries()) {
          if (this.seen.get(name) === found[i]) continue;
          this.seen.set(name, found[i] ?? null);
          this.notify(name);
        }
      }
      // Set it after the callbacks: a cache that just got a change is complete only up to the poll before this one.
      this.untilMs = sentMs;
    } catch {
      // The link has logged it, and the next connect counts as a change of every collection.
    } finally {
      this.polling = false;
    }
  }

  private notify(name: string): void {
    for (const changed of this.watchers.get(name) ?? []) this.link.notify(changed);
  }
}
