/** Who watches which collection, and the poll that tells them. */

import { revisionField } from './keys.js';
import type { RedisLink } from './link.js';

/** Well below a second, so that one late poll makes nothing stale. */
const POLL_MS = 250;
/** What no revision is: the first poll after a watch or a connect counts as a change. */
const UNKNOWN = Symbol('unknown');

export class Watcher {
  private readonly watchers = new Map<string, Set<() => void>>();
  private readonly seen = new Map<string, string | null | typeof UNKNOWN>();
  private readonly timer: NodeJS.Timeout;
  private polling = false;
  /** When the last successful poll was sent: every commit before it has been reported. */
  untilMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly link: RedisLink) {
    this.timer = setInterval(() => void this.poll(), POLL_MS);
    this.timer.unref();
    // While the connection was away anything may have changed, and a failover may have taken history back.
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

  /** A commit of this process: its watchers need not wait for the poll. */
  committed(name: string, revision: string): void {
    if (!this.watchers.has(name)) return;
    this.seen.set(name, revision);
    this.tell(name);
  }

  close(): void {
    clearInterval(this.timer);
  }

  /** Runs also when nothing is watched, because `untilMs` follows from it. */
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
          this.tell(name);
        }
      }
      // Only now: a cache that has just heard of a change is complete up to the poll before this one.
      this.untilMs = sentMs;
    } catch {
      // The link has told it, and the next connect makes all that is cached unknown.
    } finally {
      this.polling = false;
    }
  }

  private tell(name: string): void {
    for (const changed of this.watchers.get(name) ?? []) this.link.notify(changed);
  }
}
