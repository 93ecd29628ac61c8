/** Where a reader of the live stream goes on, in any tree of histories that failovers can leave. */
import fc from 'fast-check';
import {
  comparePositions,
  type EventLog,
  type Fork,
  LOG_START,
  type LoggedEvent,
} from '../../storage/event-log.js';
import { readerId } from './reader-id.js';
import { resumeFromId, resumeFromPosition } from './resume.js';

const START_MS = 1_735_424_567_000;

interface History {
  forks: Fork[];
  events: LoggedEvent[];
}

/** One server that took over. */
interface Takeover {
  /** Which of the servers before it it was a replica of. */
  of: number;
  /** How many of that server's events it had. */
  had: number;
  /** How long after the last of them it took over. */
  afterMs: number;
  /** The milliseconds between its own events. */
  steps: number[];
}

/** Several servers, the first without a predecessor. Steps of a millisecond give the same positions in several histories. */
const takeovers = fc.array(
  fc.record({
    of: fc.nat(),
    had: fc.nat(30),
    afterMs: fc.oneof(fc.nat(4), fc.integer({ min: 55_000, max: 200_000 })),
    steps: fc.array(fc.oneof(fc.nat(2), fc.nat(90_000)), { minLength: 1, maxLength: 8 }),
  }),
  { minLength: 2, maxLength: 5 },
);

function historiesOf(all: Takeover[]): History[] {
  const histories: History[] = [];
  for (const [n, { of, had, afterMs, steps }] of all.entries()) {
    const before = histories[of % Math.max(1, n)] ?? { forks: [], events: [] };
    const events = before.events.slice(0, had);
    const position = events.at(-1)?.position ?? LOG_START;
    const forkMs = Math.max(START_MS, msOf(position)) + afterMs;
    const forks = before.forks.filter((fork) => comparePositions(fork.position, position) <= 0);
    const id = `${n}`.repeat(40);
    histories.push({
      forks: [...forks, { id, order: forks.length + 1, position, at: forkMs / 1000 }],
      events,
    });
    let ms = forkMs;
    for (const step of steps) {
      ms += step;
      events.push({
        position: nextAt(ms, events.at(-1)?.position),
        json: `{"by":${n},"n":${events.length}}`,
      });
    }
  }
  return histories;
}

/** As XADD gives positions. */
function nextAt(ms: number, last = LOG_START): string {
  const [lastMs, seq] = last.split('-').map(Number);
  return ms > lastMs ? `${ms}-0` : `${lastMs}-${seq + 1}`;
}

function msOf(position: string): number {
  return Number(position.split('-')[0]);
}

function logOf({ forks, events }: History): EventLog {
  const log: Partial<EventLog> = {
    forks: async () => forks,
    tierOf: async ({ position, json }) =>
      events.some((event) => event.position === position && (json ?? event.json) === event.json)
        ? 'recent'
        : undefined,
    bounds: async () => {
      const recent = { first: events[0]?.position ?? null, length: events.length };
      return {
        ...recent,
        last: events.at(-1)?.position ?? null,
        end: events.at(-1) ?? null,
        recent,
        evidence: { first: null, length: 0 },
        trimmed: null,
        evidenceTrimmed: null,
      };
    },
    read: async ({ after, until }) =>
      events
        .filter(({ position }) => !after || comparePositions(position, after) < 0)
        .filter(({ position }) => !until || comparePositions(position, until) <= 0)
        .slice(-1),
  };
  return log as EventLog;
}

/** The events of the log that the reader had not read, in one of its histories, up to its last event. */
function missing(log: History, read: LoggedEvent[]): LoggedEvent[] {
  const known = new Set(read.map(({ position, json }) => `${position} ${json}`));
  return log.events.filter(({ position, json }) => !known.has(`${position} ${json}`));
}

const eventsAfter = ({ events }: History, from: string): LoggedEvent[] =>
  events.filter(({ position }) => comparePositions(position, from) > 0);

/** A reader in any history, after any of its events, and the history that is left. */
const cases = fc.record({ all: takeovers, read: fc.nat(), upTo: fc.nat(), left: fc.nat() });

function caseOf({ all, read, upTo, left }: { all: Takeover[]; read: number; upTo: number; left: number }) {
  const histories = historiesOf(all);
  const own = histories[read % histories.length];
  const events = own.events.slice(0, 1 + (upTo % own.events.length));
  const now = histories[left % histories.length];
  return { own, events, last: events.at(-1) as LoggedEvent, now };
}

/** The first fork that only one of the two histories has. */
function partingOf(one: History, other: History): Fork | undefined {
  const onlyIn = (some: History, others: History): Fork[] =>
    some.forks.filter(({ id }) => !others.forks.some((fork) => fork.id === id));
  const forks = [...onlyIn(one, other), ...onlyIn(other, one)];
  return forks.sort((a, b) => comparePositions(a.position, b.position) || a.order - b.order)[0];
}

/**
 * The fork where the two parted is in the id, which has the last fork before its event, or the log has it and the event was
 * written at most a minute after it.
 */
function isKnown(id: string, own: History, now: History): boolean {
  const parting = partingOf(own, now);
  const [position, , named] = id.split('~');
  if (parting === undefined || parting.position === named) return true;
  return now.forks.includes(parting) && msOf(position) <= parting.at * 1000 + 60_000;
}

describe('a reader that comes back', () => {
  it('gets every event that it has not read, whatever failovers there were', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (drawn) => {
        const { own, events, last, now } = caseOf(drawn);
        const id = readerId(last.position, own.forks);
        fc.pre(isKnown(id, own, now));
        const found = await resumeFromId(logOf(now), id);
        const given = eventsAfter(now, found?.from ?? LOG_START);
        expect(given).toEqual(expect.arrayContaining(missing(now, events)));
      }),
      { numRuns: 2000 },
    );
  });

  it('gets no event twice and no gap where its own history goes on', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (drawn) => {
        const { own, events, last } = caseOf(drawn);
        const found = await resumeFromId(logOf(own), readerId(last.position, own.forks));
        expect(found?.gaps).toEqual([]);
        expect(eventsAfter(own, found?.from ?? LOG_START)).toEqual(missing(own, events));
      }),
      { numRuns: 1000 },
    );
  });

  it('gets every event also by a position alone', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (drawn) => {
        const { own, events, last, now } = caseOf(drawn);
        fc.pre(isKnown(last.position, own, now));
        const found = await resumeFromId(logOf(now), last.position);
        const given = eventsAfter(now, found?.from ?? LOG_START);
        expect(given).toEqual(expect.arrayContaining(missing(now, events)));
      }),
      { numRuns: 1000 },
    );
  });

  it('refuses what is not an id', async () => {
    const log = logOf({ forks: [], events: [] });
    for (const id of [
      '',
      'x',
      '1-0~',
      '1-0~ffffffff',
      '1-0~ffffffff~',
      '1-0~xyz~1-0',
      '1-0~ffffffffa~1-0',
      '1-0 ',
      '-1-0',
      `${'9'.repeat(16)}-0`,
    ])
      expect(await resumeFromId(log, id)).toBeUndefined();
    expect(await resumeFromId(log, LOG_START)).toEqual({ from: LOG_START, gaps: [], there: false });
  });
});

it('goes by the content of an event where that is known', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async (drawn) => {
      const { own, events, last, now } = caseOf(drawn);
      const { from, gaps } = await resumeFromPosition(logOf(now), { ...last, forks: own.forks });
      const given = eventsAfter(now, from);
      expect(given).toEqual(expect.arrayContaining(missing(now, events)));
      if (now.events.some(({ json }) => json === last.json))
        expect([from, gaps]).toEqual([last.position, []]);
    }),
    { numRuns: 1000 },
  );
});
