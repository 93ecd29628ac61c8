/** The reports of trims: no removed event is missing from them, in any sequence of writes and trims. */
import fc from 'fast-check';
import type { LoggedEvent } from '../storage/event-log.js';
import { defineEvent } from './event.js';
import { StoredEvent } from './log/stored-event.js';
import { type StreamTrimmed, streamGap, streamTrimmed, type TrimReason } from './log.events.js';
import { isEvidence, reportsOf } from './trim-reports.js';

class Empty {}
const typed = (name: string, decision: boolean) =>
  defineEvent({
    type: `trims.${name}`,
    module: 'trims',
    payload: Empty,
    subjects: [],
    priority: 'LOW',
    decision,
    when: 'In the tests.',
    example: {},
    consumers: [],
    of: () => ({}),
  });
const decided = typed('decided', true).type;
const changed = typed('changed', false).type;
const foreign = 'of.another.program';

let written = 0;
function logged(type: string, payload: object = {}): LoggedEvent {
  written += 1;
  const envelope = { id: `evt_x_${written}`, type, source: 's', payload, meta: { version: '1.0' } };
  return { position: `${written}-0`, json: JSON.stringify(envelope) };
}
const gapOf = (counts: Record<string, number>, reason = 'overflow'): LoggedEvent =>
  logged(streamGap.type, { reason, counts, from: 1, to: 2, detected_at: 3 });
const payloadOf = (event: LoggedEvent): StreamTrimmed =>
  new StoredEvent(event).envelope?.payload as StreamTrimmed;
const typeOf = (event: LoggedEvent): string => new StoredEvent(event).type as string;

describe('a trim for length', () => {
  it('keeps every event that is not about a decision, of unknown types too', () => {
    const texts = ['', 'no JSON', '{"type":"x"}'].map((json) => ({ position: '1-0', json }));
    for (const event of [logged(changed), logged(foreign), ...texts]) expect(isEvidence(event)).toBe(true);
    expect(isEvidence(logged(decided))).toBe(false);
  });

  it('keeps gaps, except those that only count decisions which were not stored', () => {
    expect(isEvidence(gapOf({ [decided]: 3 }))).toBe(false);
    expect(isEvidence(gapOf({ [decided]: 3, [changed]: 1 }))).toBe(true);
    for (const reason of ['unclean_stop', 'rollback', 'refused', 'unanswered'])
      expect(isEvidence(gapOf({ [decided]: 3 }, reason))).toBe(true);
    expect(isEvidence(gapOf({}))).toBe(true);
  });

  it('keeps a report that it cannot read, because another program wrote it or its values are masked', () => {
    const report = { counts: { [decided]: 1 }, first: '1-0', last: '1-0', reason: 'age', trimmed_at: 5 };
    expect(isEvidence(logged(streamTrimmed.type, report))).toBe(false);
    const faulty = [
      ...['counts', 'first', 'last', 'reason', 'trimmed_at'].map((name) => ({ [name]: '[masked]' })),
      ...[{ counts: {} }, { counts: { a: 'b' } }, { counts: [1] }, { counts: null }],
    ];
    for (const fault of faulty)
      expect(isEvidence(logged(streamTrimmed.type, { ...report, ...fault }))).toBe(true);
  });
});

it('a report includes the reports that it replaces, each under its own reason', () => {
  const old = (reason: string, counts: object, at: number): LoggedEvent =>
    logged(streamTrimmed.type, { counts, first: `${at}-0`, last: `${at}-9`, reason, trimmed_at: at });
  const removed = [
    ...[old('age', { [changed]: 2 }, 3), old('length', { [decided]: 5 }, 2)],
    ...[gapOf({ [decided]: 7 }), logged(decided), old('length', { [decided]: 1 }, 4)],
  ];
  const [age, length, ...more] = reportsOf(removed, 'length', 99);
  expect(more).toEqual([]);
  expect(age).toEqual({
    counts: { [changed]: 2, 'stream.trimmed': 1 },
    ...{ first: '3-0', last: '3-9', reason: 'age', trimmed_since: 3, trimmed_at: 3 },
  });
  expect(length).toEqual({
    counts: { [decided]: 7, 'stream.gap': 1, 'stream.trimmed': 2 },
    not_stored: { [decided]: 7 },
    ...{ first: '2-0', last: removed[3].position, reason: 'length', trimmed_since: 2, trimmed_at: 99 },
  });
});

it('a report has at most 201 types, whatever another program writes, and still counts all events', () => {
  const removed = Array.from({ length: 1000 }, (_, n) => logged(`foreign.${n}`));
  const [{ counts }] = reportsOf(removed, 'age', 1);
  expect(Object.keys(counts)).toHaveLength(201);
  expect(Object.values(counts).reduce((a, b) => a + b, 0)).toBe(1000);
});

type Step = { write: ('decided' | 'changed' | 'gap')[] } | { take: number } | { trim: number };

it('the log and its reports together have every event that was ever written, once', () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ write: fc.array(fc.constantFrom('decided', 'changed', 'gap'), { maxLength: 9 }) }),
    fc.record({ take: fc.integer({ min: 1, max: 12 }) }),
    fc.record({ trim: fc.integer({ min: 1, max: 9 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let recent: LoggedEvent[] = [];
      let evidence: LoggedEvent[] = [];
      const ever: Record<string, number> = {};
      let notStored = 0;
      const write = (...events: LoggedEvent[]): void => {
        for (const event of events) ever[typeOf(event)] = (ever[typeOf(event)] ?? 0) + 1;
        recent.push(...events);
      };
      const report = (removed: LoggedEvent[], reason: TrimReason): void =>
        write(...reportsOf(removed, reason, 1).map((one) => logged(streamTrimmed.type, one)));
      for (const one of steps) {
        if ('write' in one) {
          for (const kind of one.write) {
            if (kind === 'gap') notStored += 3;
            write(kind === 'gap' ? gapOf({ [decided]: 3 }) : logged(kind === 'decided' ? decided : changed));
          }
        } else if ('take' in one) {
          const taken = recent.splice(0, one.take);
          evidence.push(...taken.filter(isEvidence));
          report(
            taken.filter((event) => !isEvidence(event)),
            'length',
          );
        } else {
          const removed = [...evidence, ...recent].slice(0, one.trim);
          evidence = evidence.filter((event) => !removed.includes(event));
          recent = recent.filter((event) => !removed.includes(event));
          report(removed, 'age');
        }
      }
      expect(evidence.filter((event) => typeOf(event) !== changed)).toEqual([]);
      const found: Record<string, number> = {};
      const add = (type: string, n: number): void => {
        found[type] = (found[type] ?? 0) + n;
      };
      let gapsIn = 0;
      for (const event of [...evidence, ...recent]) {
        add(typeOf(event), 1);
        if (typeOf(event) === streamGap.type) gapsIn += 3;
        if (typeOf(event) !== streamTrimmed.type) continue;
        const { counts, not_stored } = payloadOf(event);
        for (const [type, n] of Object.entries(counts)) add(type, n);
        gapsIn += not_stored?.[decided] ?? 0;
      }
      expect(found).toEqual(ever);
      expect(gapsIn).toBe(notStored);
    }),
    { numRuns: 500 },
  );
});
