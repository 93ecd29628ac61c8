/** Takes the oldest events from the log. `scripts/log-trim.lua` does it in one commit. */
import type { IndexedEvent, LoggedEvent, TrimReport } from '../event-log.js';
import { indexNamesOf } from '../index-names.js';
import type { RedisLink } from './link.js';
import { type Entry, indexedOf, indexMemberOf } from './log-entries.js';
import { SCRIPTS } from './scripts.js';

/** What happens to an event: `scripts/log-trim.lua` has the same letters. */
const MOVE = 'M';
const REMOVE = 'R';
const REMOVE_EVIDENCE = 'E';
type Fate = typeof MOVE | typeof REMOVE | typeof REMOVE_EVIDENCE;

interface Taken {
  event: IndexedEvent;
  fate: Fate;
}

export class LogTrims {
  constructor(private readonly link: RedisLink) {}

  async trim(before: string, limit: number, report?: TrimReport): Promise<LoggedEvent[]> {
    const { stream, evidence } = this.link.keys;
    const older = await this.oldest(evidence, limit, `(${before}`);
    const room = limit - older.length;
    const newer = room > 0 ? await this.oldest(stream, room, `(${before}`) : [];
    const taken = [
      ...older.map((event): Taken => ({ event, fate: REMOVE_EVIDENCE })),
      ...newer.map((event): Taken => ({ event, fate: REMOVE })),
    ];
    return (await this.take('any', taken, report)) ?? [];
  }

  async trimRecent(
    limit: number,
    isKept: (event: LoggedEvent) => boolean,
    report?: TrimReport,
  ): Promise<number> {
    const events = await this.oldest(this.link.keys.stream, limit);
    const taken = events.map((event): Taken => ({ event, fate: isKept(event) ? MOVE : REMOVE }));
    return (await this.take('decisions', taken, report)) ? taken.length : 0;
  }

  private async oldest(stream: string, limit: number, until = '+'): Promise<IndexedEvent[]> {
    const found = await this.link.command('xrange', [stream, '-', until, 'COUNT', limit]);
    return (found as Entry[]).map(indexedOf);
  }

  /** Returns the removed events; undefined if another replica has taken some of these. */
  private async take(
    mark: 'any' | 'decisions',
    taken: Taken[],
    report?: TrimReport,
  ): Promise<LoggedEvent[] | undefined> {
    if (taken.length === 0) return undefined;
    const { stream, evidence, trims, eventIndex } = this.link.keys;
    const keys = [stream, evidence, trims];
    const removed: LoggedEvent[] = [];
    const args: (string | number)[] = [];
    for (const { event, fate } of taken) {
      const { position, json } = event;
      if (fate === MOVE) {
        args.push(fate, position, '', 0);
        continue;
      }
      const names = indexNamesOf(event);
      for (const name of names) keys.push(eventIndex + name);
      args.push(fate, position, indexMemberOf(position), names.length);
      removed.push({ position, json });
    }
    const reports = report && removed.length > 0 ? report(removed).map(({ json }) => json) : [];
    const all = [mark, reports.length, ...reports, ...args];
    return Number(await this.link.script(SCRIPTS.trimLog, keys, all)) > 0 ? removed : undefined;
  }
}
