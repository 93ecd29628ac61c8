/**
 * A failover in which the old master still takes writes while the promoted one already has events of its own. Gaps report
 * the lost events, and the surviving events reach every reader.
 */
import type { ReadEvent } from '../src/events/log/stored-event.js';
import { sleep } from '../src/shared/clock.js';
import { comparePositions, EventLog, LOG_START } from '../src/storage/event-log.js';
import { Fleet, GOES_ON_MS, Replica } from './faults/fleet.js';
import { cleanUpAfterEach } from './support/cleanup.js';
import { type Gap, type RedisPair, replicated, startPair, wireTo } from './support/redis-pair.js';
import { ALWAYS, RedisServer } from './support/redis-server.js';
import { SseClient } from './support/sse-client.js';
import { count, numbersOf } from './support/ticks.js';
import { until } from './support/until.js';
import { Wire } from './support/wire.js';

/** There is a check every two seconds, and the report needs a write. */
const TOLD_MS = 10_000;

const cleanup = cleanUpAfterEach();
const { later, started } = cleanup;

describe('a failover with events on both sides', () => {
  let pair: RedisPair;
  let wires: [Wire, Wire];
  let fleet: Fleet;
  let stays: Replica;
  let leaves: Replica;

  beforeEach(async () => {
    pair = await startPair(cleanup);
    wires = [await wireTo(pair.old, cleanup), await wireTo(pair.old, cleanup)];
    fleet = started(await Fleet.start({ REDIS_URL: wires[0].url }, { REDIS_URL: wires[1].url }));
    [stays, leaves] = fleet.replicas as [Replica, Replica];
  }, 60_000);

  /** One replica moves to the promoted server, the other one stays with the old master, and both write. */
  async function part(): Promise<void> {
    fleet.publish(100);
    await fleet.goesOn();
    await replicated(pair);
    pair.promoted.cli('replicaof', 'no', 'one');
    wires[1].retarget(pair.promoted.port);
    for (let n = 0; n < 100; n += 1) {
      fleet.publish(2);
      await sleep(5);
    }
    for (const replica of fleet.replicas) {
      const own = (): boolean => numbersOf(replica.reader.events, replica.name).length === replica.published;
      await until(own, GOES_ON_MS, `${replica.name} reading its own`);
    }
  }

  const rollbacks = async (): Promise<Gap[]> =>
    ((await fleet.gapsInLog()) as unknown as Gap[]).filter(({ reason }) => reason === 'rollback');

  /** Those of these events that are not in the log that is left. */
  async function lostOf(all: ReadEvent[]): Promise<ReadEvent[]> {
    const kept = new Set((await leaves.service.events()).map(({ id }) => id));
    return all.filter(({ id }) => !kept.has(id));
  }

  const seenBy = (replica: Replica): ReadEvent[] =>
    replica.reader.events.map(({ data }) => data as unknown as ReadEvent);

  /** A position of an event that is lost, at which the history that is left has no other event. */
  async function lostPosition(lost: ReadEvent[]): Promise<string> {
    const taken = new Set((await leaves.service.events()).map(({ position }) => position));
    return lost.filter(({ position }) => !taken.has(position)).at(-1)?.position as string;
  }

  it('reports each lost event by a gap, and every reader gets each surviving event once', async () => {
    await part();
    const seen = seenBy(stays);
    wires[0].retarget(pair.promoted.port);
    fleet.publish(50);
    await until(async () => (await rollbacks()).length > 0, TOLD_MS, 'the log telling of it');
    await sleep(500);

    const lost = await lostOf(seen);
    expect(lost.length).toBeGreaterThan(150);
    await expectCovered(seen);

    // The replica that moved last lost its own, and has every event of the other one, once.
    const all = count(0, leaves.published);
    const given = (): boolean => numbersOf(stays.reader.events, leaves.name).length >= all.length;
    await until(given, GOES_ON_MS, 'the reader getting what survived');
    expect(numbersOf(stays.reader.events, leaves.name)).toEqual(all);
    expect(numbersOf(stays.heard, leaves.name)).toEqual(all);
    expect(numbersOf(leaves.reader.events, leaves.name)).toEqual(all);
    const [gap, ...more] = stays.reader.gaps;
    expect([gap.data.reason, more]).toEqual(['rollback', []]);
    expect(leaves.reader.gaps).toEqual([]);

    // So has one who comes to a replica that started after the failover, with the id of an event that is lost.
    const late = started(await Replica.start('late', { REDIS_URL: wires[0].url }));
    const before = await lostPosition(lost);
    const reader = await SseClient.open(`${late.url}/api/events/stream`, undefined, before);
    later(() => reader.close());
    const wanted = numbersOf(stays.reader.events, leaves.name).filter((n) => n >= 100);
    await until(
      () => numbersOf(reader.events, leaves.name).length >= wanted.length,
      GOES_ON_MS,
      'the reader at the late replica',
    );
    expect(numbersOf(reader.events, leaves.name)).toEqual(wanted);
    expect(reader.events[0]).toMatchObject({ event: 'gap', data: { reason: 'rollback', to: before } });
    expect(reader.events[0].data.from).toBe(gap.data.from);
  }, 60_000);

  it('gives a reader that comes back what survived, also if the position of its event is taken', async () => {
    await part();
    const positionsOf = (replica: Replica): Map<string, string> =>
      new Map(seenBy(replica).map(({ position, id }) => [position, id]));
    // Both servers write at the same time, so some positions are in both histories.
    const twice = (): string | undefined => {
      const surviving = positionsOf(leaves);
      const lost = [...positionsOf(stays)].filter(([position, id]) => (surviving.get(position) ?? id) !== id);
      return lost.at(-1)?.[0];
    };
    await until(
      () => {
        fleet.publish(5);
        return twice() !== undefined;
      },
      GOES_ON_MS,
      'an event on each side with the same position',
    );
    const taken = twice() as string;
    wires[0].retarget(pair.promoted.port);
    fleet.publish(50);
    await fleet.goesOn();
    const idOf = (replica: Replica): string =>
      replica.reader.events.find(({ data }) => data.position === taken)?.id as string;
    expect([idOf(stays), idOf(leaves)]).toEqual([taken, expect.stringMatching(`^${taken}~[0-9a-f]{8}~`)]);

    const lost = await comesBack(idOf(stays));
    await until(
      () => numbersOf(lost.events, leaves.name).at(-1) === leaves.published - 1,
      GOES_ON_MS,
      'the end',
    );
    expect(lost.events[0]).toMatchObject({ event: 'gap', data: { reason: 'rollback', to: taken } });
    expect(numbersOf(lost.events, leaves.name)).toEqual(count(100, leaves.published));

    const here = await comesBack(idOf(leaves));
    const surviving = (await leaves.service.events({ type: 'test.*' })).map(({ position }) => position);
    const later = surviving
      .filter((position) => comparePositions(position, taken) > 0)
      .sort(comparePositions);
    await until(() => here.events.length >= later.length, GOES_ON_MS, 'the reader of the surviving history');
    expect(here.events.map(({ data }) => data.position)).toEqual(later);
  }, 60_000);

  async function comesBack(id: string): Promise<SseClient> {
    const reader = await SseClient.open(`${leaves.url}/api/events/stream?type=test.*`, undefined, id);
    later(() => reader.close());
    return reader;
  }

  /** Of what is in the log that is left the reader was given every event once, whatever else it was given. */
  async function expectSurvivorsOnce(given: () => { data: Record<string, unknown> }[]): Promise<void> {
    const survivors = (await leaves.service.events({ type: 'test.*' })).map(({ id }) => id);
    const times = (): Map<string, number> => {
      const byId = new Map(survivors.map((id) => [id, 0]));
      for (const { data } of given()) {
        const known = byId.get(data.id as string);
        if (known !== undefined) byId.set(data.id as string, known + 1);
      }
      return byId;
    };
    const all = (): boolean => [...times().values()].every((n) => n > 0);
    await until(all, GOES_ON_MS, 'the reader getting all that survived');
    expect([...times()].filter(([, n]) => n !== 1)).toEqual([]);
  }

  async function expectCovered(seen: ReadEvent[]): Promise<void> {
    const gaps = await rollbacks();
    const isCovered = ({ timestamp }: ReadEvent): boolean =>
      gaps.some(({ from, to }) => from <= timestamp && timestamp <= to);
    expect((await lostOf(seen)).filter((event) => !isCovered(event))).toEqual([]);
  }

  it('that is followed by another one reports both, and every reader gets each surviving event once', async () => {
    const third = started(await RedisServer.startReplica(pair.promoted, ALWAYS));
    await part();
    await replicated({ old: pair.promoted, promoted: third });
    wires[0].retarget(pair.promoted.port);
    third.cli('replicaof', 'no', 'one');
    fleet.publish(50);
    await fleet.goesOn();
    const seen = [...seenBy(stays), ...seenBy(leaves)];
    for (const wire of wires) wire.retarget(third.port);
    fleet.publish(50);
    const last = (): boolean =>
      fleet.replicas.every(({ reader }) => numbersOf(reader.events, stays.name).at(-1) === 399);
    await until(last, GOES_ON_MS, 'the readers going on');
    await sleep(3000);
    await expectCovered(seen);
    for (const { reader, heard } of fleet.replicas) {
      await expectSurvivorsOnce(() => reader.events);
      expect(numbersOf(heard)).toEqual(numbersOf(reader.events));
    }
  }, 60_000);

  it('returns a reader that is still reading old events to the position of the fork', async () => {
    stays.publish(1200);
    await part();
    const log = stays.service.app.get(EventLog);
    const read = log.read.bind(log);
    let pages = 0;
    const reading = jest.spyOn(log, 'read').mockImplementation(async (query) => {
      const page = await read(query);
      // The pages of the replay grow; other reads look for one event.
      pages += query.limit > 1 ? 1 : 0;
      // What it is given as its third page is of the old history; then the way leads to the new one.
      if (pages === 3) wires[0].retarget(pair.promoted.port);
      return page;
    });
    const reader = await SseClient.open(`${stays.url}/api/events/stream?type=test.*`, undefined, LOG_START);
    later(() => reader.close());
    await until(() => pages > 3, GOES_ON_MS, 'the reader being in the middle');
    reading.mockRestore();
    fleet.publish(50);
    const last = (): boolean => numbersOf(reader.events, stays.name).at(-1) === stays.published - 1;
    await until(last, GOES_ON_MS, 'the reader going on');
    await expectSurvivorsOnce(() => reader.events.filter(({ event }) => event !== 'gap'));
    await expectSurvivorsOnce(() => stays.reader.events);
  }, 60_000);
});
