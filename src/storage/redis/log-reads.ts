/** Reads ranges of the log, over both tiers. */
import { comparePositions, LOG_START, type LoggedEvent, type LogQuery } from '../event-log.js';
import type { RedisLink } from './link.js';
import { type Entry, loggedOf, memberBoundOf } from './log-entries.js';
import { SCRIPTS } from './scripts.js';

export class LogReads {
  constructor(private readonly link: RedisLink) {}

  async read(query: LogQuery): Promise<LoggedEvent[]> {
    const { key, order, after } = query;
    // Redis refuses this bound: nothing is before it.
    if (order === 'desc' && after !== undefined && comparePositions(after, LOG_START) === 0) return [];
    const [low, high] = [lowerBound(query), upperBound(query)];
    if (key !== undefined) return this.readIndex(query, key, low, high);
    const range = [low ?? '-', high ?? '+'] as const;
    const entries =
      order === 'asc' ? await this.readUp(query, ...range) : await this.readDown(query, ...range);
    return entries.map(loggedOf);
  }

  /**
   * The recent tier is read first: an event that is moved between the two reads is then found twice, and not missed. If the
   * place of the reader is in the recent tier, there is no second read.
   */
  private async readUp({ after, limit }: LogQuery, low: string, high: string): Promise<Entry[]> {
    const { stream, evidence } = this.link.keys;
    const place = after === undefined ? 0 : 1;
    const recent = await this.range('xrange', stream, after ?? low, high, limit + place);
    if (place > 0 && recent[0]?.[0] === after) return recent.slice(1);
    const older = await this.range('xrange', evidence, low, high, limit);
    const moved = new Set(older.map(([position]) => position));
    const newer = recent.filter(([position]) => !moved.has(position));
    return [...older, ...newer].sort(([a], [b]) => comparePositions(a, b)).slice(0, limit);
  }

  private async readDown({ limit }: LogQuery, low: string, high: string): Promise<Entry[]> {
    const { stream, evidence } = this.link.keys;
    const recent = await this.range('xrevrange', stream, high, low, limit);
    if (recent.length >= limit) return recent;
    const oldest = recent.at(-1);
    const until = oldest ? `(${oldest[0]}` : high;
    const older = await this.range('xrevrange', evidence, until, low, limit - recent.length);
    return [...recent, ...older];
  }

  private async range(
    command: 'xrange' | 'xrevrange',
    stream: string,
    from: string,
    to: string,
    limit: number,
  ): Promise<Entry[]> {
    return (await this.link.command(command, [stream, from, to, 'COUNT', limit])) as Entry[];
  }

  private async readIndex(query: LogQuery, key: string, low?: string, high?: string): Promise<LoggedEvent[]> {
    const { stream, evidence } = this.link.keys;
    const keys = [stream, evidence, this.link.keys.events(key)];
    const args = [query.order, query.limit, memberBoundOf(low) ?? '-', memberBoundOf(high) ?? '+'];
    const found = (await this.link.script(SCRIPTS.readLog, keys, args)) as string[];
    const events: LoggedEvent[] = [];
    for (let i = 0; i < found.length; i += 2) {
      events.push({ position: found[i], json: found[i + 1] });
    }
    return events;
  }
}

/** The oldest position of a query. `(` excludes the position itself. */
function lowerBound({ order, after, from }: LogQuery): string | undefined {
  return order === 'asc' && after !== undefined ? `(${after}` : from;
}

/** The newest position of a query. */
function upperBound({ order, after, until }: LogQuery): string | undefined {
  return order !== 'asc' && after !== undefined ? `(${after}` : until;
}
