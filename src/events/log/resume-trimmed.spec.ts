/** Where a reader goes on, and which gaps it gets, if both tiers of the log were trimmed, also after a failover. */
import fc from 'fast-check';
import {
  comparePositions,
  type EventLog,
  type Fork,
  LOG_START,
  type LoggedEvent,
  type LogQuery,
  type ReaderPosition,
} from '../../storage/event-log.js';
import { KnownTrims } from './known-trims.js';
import { type MissedGap, resumeFromPosition, resumeFromTime } from './resume.js';

const START_MS = 1_735_424_567_000;

/** An event of a history. One that is not kept is about a decision. */
interface Written extends LoggedEvent {
  kept: boolean;
}

interface Drawn {
  /** The events before a failover, and those after it in the old and in the new history: whether each is kept. */
  common: boolean[];
  lost: boolean[];
  after: boolean[];
  /** How many events trims for length have taken, and how many of the kept ones were then removed. */
  taken: number;
  removed: number;
  /** How many events the reader has read, in the old history. */
  read: number;
}

const kinds = (minLength: number): fc.Arbitrary<boolean[]> =>
  fc.array(fc.boolean(), { minLength, maxLength: 8 });
const drawn: fc.Arbitrary<Drawn> = fc.record({
  ...{ common: kinds(1), lost: kinds(0), after: kinds(1) },
  ...{ taken: fc.nat(17), removed: fc.nat(8), read: fc.integer({ min: 1, max: 16 }) },
});

function written(name: string, kinds: boolean[], fromMs: number): Written[] {
  return kinds.map((kept, n) => ({
    position: `${fromMs + n * 1000}-0`,
    json: `{"by":"${name}","n":${n}}`,
    kept,
  }));
}

interface Case {
  log: EventLog;
  reader: ReaderPosition;
  read: Written[];
  left: Written[];
  gone: Written[];
}

function caseOf({ common, lost, after, taken, removed, read }: Drawn, hasFailover: boolean): Case {
  const shared = written('common', common, START_MS);
  const forkMs = START_MS + common.length * 1000;
  const old = [...shared, ...written('old', lost, forkMs)].slice(0, read);
  const now = [...shared, ...written('new', after, forkMs + 1)];
  const position = shared.at(-1)?.position ?? LOG_START;
  const first: Fork = { id: 'a'.repeat(40), order: 1, position: LOG_START, at: START_MS / 1000 };
  const fork: Fork = { id: 'b'.repeat(40), order: 2, position, at: forkMs / 1000 };
  const own = hasFailover ? old : now.slice(0, read);
  const forks = hasFailover ? [first, fork] : [first];
  const tiers = tiersOf(now, taken, removed);
  const reader = { ...(own.at(-1) as Written), forks: [first] };
  return { log: logOf(tiers, forks), reader, read: own, ...tiers };
}

interface Tiers {
  recent: Written[];
  evidence: Written[];
  left: Written[];
  gone: Written[];
  trimmed: string | null;
  evidenceTrimmed: string | null;
}

function tiersOf(all: Written[], taken: number, removed: number): Tiers {
  const older = all.slice(0, taken);
  const kept = older.filter((event) => event.kept);
  const [lostEvidence, evidence] = [kept.slice(0, removed), kept.slice(removed)];
  const recent = all.slice(taken);
  const left = [...evidence, ...recent];
  const gone = all.filter((event) => !left.includes(event));
  const evidenceTrimmed = lostEvidence.at(-1)?.position ?? null;
  return { recent, evidence, left, gone, trimmed: gone.at(-1)?.position ?? null, evidenceTrimmed };
}

function logOf({ recent, evidence, left, trimmed, evidenceTrimmed }: Tiers, forks: Fork[]): EventLog {
  const isAt = (place: ReaderPosition) => (event: Written) =>
    event.position === place.position && (place.json ?? event.json) === event.json;
  const boundsOf = (events: Written[]) => ({ first: events[0]?.position ?? null, length: events.length });
  const log: Partial<EventLog> = {
    forks: async () => forks,
    tierOf: async (place) =>
      recent.some(isAt(place)) ? 'recent' : evidence.some(isAt(place)) ? 'evidence' : undefined,
    bounds: async () => ({
      ...boundsOf(left),
      ...{ last: left.at(-1)?.position ?? null, end: left.at(-1) ?? null },
      ...{ recent: boundsOf(recent), evidence: boundsOf(evidence), trimmed, evidenceTrimmed },
    }),
    read: async ({ after, until }: LogQuery) =>
      left
        .filter(({ position }) => !after || comparePositions(position, after) < 0)
        .filter(({ position }) => !until || comparePositions(position, until) <= 0)
        .slice(-1),
  };
  return log as EventLog;
}

/** What a reader gets that looks for gaps at each of its places, until it has read all. */
async function follow(log: EventLog, start: ReaderPosition, left: Written[]) {
  const [given, gaps, known]: [Written[], MissedGap[], KnownTrims] = [[], [], new KnownTrims()];
  let place = start;
  for (let steps = 0; steps < 100; steps += 1) {
    const { from, gaps: found } = await resumeFromPosition(log, place);
    const fresh = found.filter((gap) => known.note(gap));
    gaps.push(...fresh);
    if (fresh.length > 0) {
      place = { position: from };
      continue;
    }
    const next = left.find(({ position }) => comparePositions(position, place.position) > 0);
    if (!next) return { given, gaps };
    given.push(next);
    place = { position: next.position, json: next.json };
  }
  throw new Error('the reader does not get to the end');
}

const covers = (gap: MissedGap, { position, kept }: Written): boolean =>
  comparePositions(gap.from, position) <= 0 &&
  comparePositions(position, gap.to) <= 0 &&
  (gap.missing === 'any' || !kept);

describe.each([
  ['whose history goes on', false],
  ['that has read what a failover took back', true],
])('a reader %s', (_what, hasFailover) => {
  it('gets each event that is left and that it has not read, once, and a gap for each that was removed', async () => {
    await fc.assert(
      fc.asyncProperty(drawn, async (one) => {
        const { log, reader, read, left, gone } = caseOf(one, hasFailover);
        const { given, gaps } = await follow(log, reader, left);
        const known = new Set(read.map(({ json }) => json));
        const unread = ({ json }: Written): boolean => !known.has(json);
        expect(given).toEqual(left.filter(unread));
        const open = gone.filter(unread).filter((event) => !gaps.some((gap) => covers(gap, event)));
        expect(open).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });
});

it('gets no gap where nothing is missing, and none of any event where only decisions are', async () => {
  await fc.assert(
    fc.asyncProperty(drawn, async (one) => {
      const { log, reader, left, gone, read } = caseOf(one, false);
      const { gaps } = await follow(log, reader, left);
      const unread = gone.filter(({ json }) => !read.some((event) => event.json === json));
      if (unread.length === 0) expect(gaps).toEqual([]);
      if (unread.every(({ kept }) => !kept))
        expect(gaps.filter(({ missing }) => missing === 'any')).toEqual([]);
    }),
    { numRuns: 3000 },
  );
});

it('goes on at a time with everything that is left after it', async () => {
  await fc.assert(
    fc.asyncProperty(drawn, fc.nat(20), async (one, seconds) => {
      const { log, left, gone } = caseOf(one, false);
      const time = `${START_MS + seconds * 1000 - 1}-999`;
      const { from, gaps } = await resumeFromTime(log, time);
      const isAfter =
        (place: string) =>
        ({ position }: Written): boolean =>
          comparePositions(position, place) > 0;
      expect(left.filter(isAfter(from))).toEqual(left.filter(isAfter(time)));
      const open = gone.filter(isAfter(time)).filter((event) => !gaps.some((gap) => covers(gap, event)));
      expect(open).toEqual([]);
    }),
    { numRuns: 1000 },
  );
});
