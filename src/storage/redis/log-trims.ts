/** Takes the oldest events from the log. `scripts/log-trim.lua` does it in one commit. */
import { type EventRecord, type LoggedEvent, type TrimReport } from '../event-log.js';
import { indexNamesOf } from '../index-names.js';
import type { RedisLink } from './link.js';
import { type Entry, indexedOf, indexMemberOf, loggedOf } from './log-entries.js';
import { SCRIPTS } from './scripts.js';

/** What happens to an event: `scripts/log-trim.lua` has the same letters. */
const MOVE = 'M';
const REMOVE = 'R';
const REMOVE_EVIDENCE = 'E';
type Fate = typeof MOVE | typeof REMOVE | typeof REMOVE_EVIDENCE;

interface Taken {
  entry: Entry;
  fate: Fate;
}

export class LogTrims {
  constructor(private readonly link: RedisLink) {}

  async trim(before: string, limit: number, report?: TrimReport): Promise<LoggedEvent[]> {
    const { stream, evidence } = this.link.keys;
    const older = await this.oldest(evidence, limit, `(${before}`);
    const room = limit - older.length;
    const newer = room > 0 ? await this.oldest(stream, room, `(${before}`) : [];
    const taken = [...withFate(older, () => REMOVE_EVIDENCE), ...withFate(newer, () => REMOVE)];
    const removed = [...older, ...newer].map(loggedOf);
    return (await this.take('any', taken, reportsOf(removed, report))) ? removed : [];
  }

  async trimRecent(
    limit: number,
    isKept: (event: LoggedEvent) => boolean,
    report?: TrimReport,
  ): Promise<number> {
    const entries = await this.oldest(this.link.keys.stream, limit);
    const taken = withFate(entries, (entry) => (isKept(loggedOf(entry)) ? MOVE : REMOVE));
    const removed = taken.filter(({ fate }) => fate === REMOVE).map(({ entry }) => loggedOf(entry));
    return (await this.take('decisions', taken, reportsOf(removed, report))) ? taken.length : 0;
  }

  private async oldest(stream: string, limit: number, until = '+'): Promise<Entry[]> {
    return (await this.link.command('xrange', [stream, '-', until, 'COUNT', limit])) as Entry[];
  }

  /** False if another replica has taken some of these events. */
  private async take(mark: 'any' | 'decisions', taken: Taken[], reports: EventRecord[]): Promise<boolean> {
    if (taken.length === 0) return false;
    const { stream, evidence, trims, eventIndex } = this.link.keys;
    const keys = [stream, evidence, trims];
    const args: (string | number)[] = [mark, reports.length, ...reports.map(({ json }) => json)];
    for (const { entry, fate } of taken) {
      const [position] = entry;
      const names = fate === MOVE ? [] : indexNamesOf(indexedOf(entry));
      for (const name of names) keys.push(eventIndex + name);
      args.push(fate, position, indexMemberOf(position), names.length);
    }
    return Number(await this.link.script(SCRIPTS.trimLog, keys, args)) > 0;
  }
}

function withFate(entries: Entry[], fateOf: (entry: Entry) => Fate): Taken[] {
  return entries.map((entry) => ({ entry, fate: fateOf(entry) }));
}

function reportsOf(removed: LoggedEvent[], report?: TrimReport): EventRecord[] {
  return report && removed.length > 0 ? report(removed) : [];
}
