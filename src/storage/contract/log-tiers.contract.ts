/** The tests of the two tiers of the log, for both backends of `EventLog`. */
import fc from 'fast-check';
import { randomId } from '../../shared/ids.js';
import {
  comparePositions,
  type EventLog,
  type EventRecord,
  LOG_END,
  LOG_START,
  type LoggedEvent,
  type LogQuery,
} from '../event-log.js';

interface Content {
  n: number;
  kept: boolean;
}

const eventOf = (n: number, kept: boolean, keys: string[] = []): EventRecord => ({
  json: JSON.stringify({ n, kept, payload: {}, meta: { correlation_id: null } }),
  keys,
});
const contentOf = ({ json }: LoggedEvent): Content => JSON.parse(json) as Content;
const isKept = (event: LoggedEvent): boolean => contentOf(event).kept;
const numbers = (events: LoggedEvent[]): number[] => events.map((event) => contentOf(event).n);
const report = (removed: LoggedEvent[]): EventRecord[] => [eventOf(1000 + removed.length, true)];

/** Decisions have even numbers, and odd ones are kept; each third event is about the same subject. */
const mixed = (from: number, to: number): EventRecord[] =>
  Array.from({ length: to - from }, (_, i) => {
    const n = from + i;
    return eventOf(n, n % 2 === 1, n % 3 === 0 ? ['s:third'] : []);
  });

async function all(log: EventLog, query: Omit<LogQuery, 'limit'>, page: number): Promise<LoggedEvent[]> {
  const found: LoggedEvent[] = [];
  for (;;) {
    const events = await log.read({ after: found.at(-1)?.position, ...query, limit: page });
    found.push(...events);
    if (events.length < page) return found;
    query = { ...query, after: events.at(-1)?.position };
  }
}

/** All events that `next` hands out after this place. */
async function allNext(log: EventLog, position: string, limit: number): Promise<LoggedEvent[]> {
  const found: LoggedEvent[] = [];
  for (;;) {
    const { events } = await log.next({ position: found.at(-1)?.position ?? position }, limit);
    if (events.length === 0) return found;
    found.push(...events.map(({ position: at, json }) => ({ position: at, json })));
  }
}

export function logTiersContract(here: () => { log: EventLog; restart(): Promise<EventLog> }): void {
  const append = async (events: EventRecord[]): Promise<LoggedEvent[]> => {
    const { log } = here();
    await log.append(randomId(8), events);
    return (await log.read({ order: 'desc', limit: events.length })).reverse();
  };

  it('removes what is not kept, moves the rest into the evidence tier, and reads both as one sequence', async () => {
    const { log } = here();
    const events = await append(mixed(0, 12));
    expect(await log.trimRecent(8, isKept, report)).toBe(8);
    const left = [1, 3, 5, 7, 8, 9, 10, 11, 1004];
    expect(numbers(await all(log, { order: 'asc' }, 2))).toEqual(left);
    expect(numbers(await all(log, { order: 'desc' }, 2))).toEqual([...left].reverse());
    expect(numbers(await all(log, { order: 'asc', key: 's:third' }, 1))).toEqual([3, 9]);
    expect(numbers(await all(log, { order: 'desc', key: 's:third' }, 1))).toEqual([9, 3]);
    const ends = { from: events[3].position, until: events[9].position };
    expect(numbers(await log.read({ order: 'asc', limit: 99, ...ends }))).toEqual([3, 5, 7, 8, 9]);
    expect(numbers(await log.read({ order: 'desc', limit: 99, ...ends }))).toEqual([9, 8, 7, 5, 3]);
    expect(await log.bounds()).toMatchObject({
      first: events[1].position,
      length: 9,
      recent: { first: events[8].position, length: 5 },
      evidence: { first: events[1].position, length: 4 },
      trimmed: events[6].position,
    });
    const [older, gone, newer] = [events[7], events[6], events[8]];
    expect(await Promise.all([older, gone, newer].map((event) => log.tierOf(event)))).toEqual([
      ...['evidence', undefined, 'recent'],
    ]);
    expect(await log.tierOf({ ...older, json: newer.json })).toBeUndefined();
  });

  it('hands out what comes after a place in the evidence tier, with the names of its index entries', async () => {
    const { log } = here();
    const events = await append(mixed(0, 6));
    await log.trimRecent(4, isKept);
    const tail = await log.next(events[1], 1);
    expect([numbers(tail.events), tail.tier]).toEqual([[3], 'evidence']);
    expect(tail.events[0]?.names).toBe('s:third');
    expect(numbers((await log.next(events[3], 9)).events)).toEqual([4, 5]);
    expect((await log.next(events[4], 9)).tier).toBe('recent');
    expect((await log.next({ ...events[1], json: events[4].json }, 1)).tier).toBeUndefined();
    expect(numbers(await allNext(log, LOG_START, 2))).toEqual([1, 3, 4, 5]);
  });

  it('notes separately up to where decisions are missing, and up to where anything is', async () => {
    let { log } = here();
    const { evidenceTrimmed: before } = await log.bounds();
    const events = await append(mixed(0, 8));
    await log.trimRecent(6, isKept);
    expect(await log.bounds()).toMatchObject({ trimmed: events[4].position, evidenceTrimmed: before });
    expect(numbers(await log.trim(LOG_END, 1, report))).toEqual([1]);
    const marks = { trimmed: events[4].position, evidenceTrimmed: events[1].position };
    expect(await log.bounds()).toMatchObject(marks);
    log = await here().restart();
    expect(await log.bounds()).toMatchObject(marks);
    expect(numbers(await log.trim(events[7].position, 99, report))).toEqual([3, 5, 6]);
    expect(await log.bounds()).toMatchObject({
      ...{ trimmed: events[6].position, evidenceTrimmed: events[6].position },
      evidence: { first: null, length: 0 },
    });
    expect(numbers(await log.read({ order: 'asc', limit: 99 }))).toEqual([7, 1001, 1003]);
  });

  it('has nothing missing where all events were moved, and goes on after them', async () => {
    let { log } = here();
    const before = await log.bounds();
    const events = await append([1, 3, 5].map((n) => eventOf(n, true)));
    let reports = 0;
    const counted = (): EventRecord[] => {
      reports += 1;
      return [];
    };
    expect(await log.trimRecent(99, isKept, counted)).toBe(3);
    expect(reports).toBe(0);
    log = await here().restart();
    const { trimmed, evidenceTrimmed } = before;
    expect(await log.bounds()).toMatchObject({
      ...{ trimmed, evidenceTrimmed, last: events[2].position, end: events[2] },
      recent: { first: null, length: 0 },
    });
    const position = await log.append(randomId(8), [eventOf(7, true)]);
    expect(comparePositions(position, events[2].position)).toBeGreaterThan(0);
    expect(numbers(await allNext(log, events[0].position, 1))).toEqual([3, 5, 7]);
  });

  it('has exactly the kept events in order for every reader, after any sequence of appends and trims', async () => {
    const step = fc.oneof(
      fc.record({ append: fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }) }),
      fc.record({ take: fc.integer({ min: 1, max: 10 }) }),
      fc.record({ trim: fc.integer({ min: 1, max: 6 }) }),
    );
    const steps = fc.array(step, { minLength: 2, maxLength: 14 });
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 4 }), async (drawn, page) => {
        const { log } = here();
        while ((await log.trim(LOG_END, 1000)).length > 0);
        const model = new Model(log);
        for (const one of drawn) await model.run(one);
        await model.check(page);
      }),
      { numRuns: 40 },
    );
  });
}

type Step = { append: boolean[] } | { take: number } | { trim: number };

/** What the log must have, in two lists. */
class Model {
  private recent: LoggedEvent[] = [];
  private evidence: LoggedEvent[] = [];
  private readonly places = [LOG_START];
  private readonly third = new Set<string>();
  private appended = 0;
  private trimmed = LOG_START;
  private evidenceTrimmed = LOG_START;

  constructor(private readonly log: EventLog) {}

  async run(step: Step): Promise<void> {
    if ('append' in step) {
      const events = step.append.map((kept) => {
        this.appended += 1;
        return eventOf(this.appended, kept, this.appended % 3 === 0 ? ['s:third'] : []);
      });
      await this.log.append(randomId(8), events);
      await this.readNew();
    } else if ('take' in step) await this.take(step.take);
    else await this.trim(step.trim);
  }

  private async take(limit: number): Promise<void> {
    const taken = this.recent.splice(0, limit);
    const removed = taken.filter((event) => !isKept(event));
    this.evidence.push(...taken.filter(isKept));
    this.trimmed = removed.at(-1)?.position ?? this.trimmed;
    expect(await this.log.trimRecent(limit, isKept, report)).toBe(taken.length);
    await this.readNew();
  }

  private async trim(limit: number): Promise<void> {
    const older = this.evidence.splice(0, limit);
    const removed = [...older, ...this.recent.splice(0, limit - older.length)];
    const last = removed.at(-1)?.position;
    if (last !== undefined) {
      this.evidenceTrimmed = last;
      if (comparePositions(last, this.trimmed) > 0) this.trimmed = last;
    }
    expect(await this.log.trim(LOG_END, limit, report)).toEqual(removed);
    await this.readNew();
  }

  private async readNew(): Promise<void> {
    const after = this.places.at(-1);
    for (const event of await this.log.read({ order: 'asc', after, limit: 99 })) {
      if (this.evidence.some(({ position }) => position === event.position)) continue;
      if (this.recent.some(({ position }) => position === event.position)) continue;
      this.recent.push(event);
      this.places.push(event.position);
      const { n } = contentOf(event);
      if (n < 1000 && n % 3 === 0) this.third.add(event.position);
    }
  }

  async check(page: number): Promise<void> {
    const { log } = this;
    const left = [...this.evidence, ...this.recent];
    const third = left.filter(({ position }) => this.third.has(position));
    expect(await all(log, { order: 'asc' }, page)).toEqual(left);
    expect(await all(log, { order: 'desc' }, page)).toEqual([...left].reverse());
    expect(await all(log, { order: 'asc', key: 's:third' }, page)).toEqual(third);
    expect(await all(log, { order: 'desc', key: 's:third' }, page)).toEqual([...third].reverse());
    for (const place of this.places) {
      const later = left.filter(({ position }) => comparePositions(position, place) > 0);
      const earlier = left.filter(({ position }) => comparePositions(position, place) < 0);
      expect(await allNext(log, place, page)).toEqual(later);
      expect(await all(log, { order: 'asc', after: place }, page)).toEqual(later);
      expect(await all(log, { order: 'desc', after: place }, page)).toEqual(earlier.reverse());
      expect(await log.tierOf({ position: place })).toBe(this.tierOf(place));
      expect((await log.next({ position: place }, 1)).tier).toBe(this.tierOf(place));
    }
    const bounds = await log.bounds();
    expect([bounds.recent.length, bounds.evidence.length]).toEqual([
      ...[this.recent.length, this.evidence.length],
    ]);
    if (this.trimmed !== LOG_START) expect(bounds.trimmed).toBe(this.trimmed);
    if (this.evidenceTrimmed !== LOG_START) expect(bounds.evidenceTrimmed).toBe(this.evidenceTrimmed);
  }

  private tierOf(place: string): string | undefined {
    const isThere = ({ position }: LoggedEvent): boolean => position === place;
    if (this.recent.some(isThere)) return 'recent';
    return this.evidence.some(isThere) ? 'evidence' : undefined;
  }
}
