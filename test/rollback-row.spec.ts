/**
 * Several failovers in a row, at random: each may lose events, the replicas of the service move at different times, and the
 * gap of one failover may be lost by the next. At the end every lost event is in a gap, and each connected reader has got
 * every event of the log that is left once.
 */
import type { ReadEvent } from '../src/events/log/stored-event.js';
import { sleep } from '../src/shared/clock.js';
import { comparePositions } from '../src/storage/event-log.js';
import { Fleet, GOES_ON_MS } from './faults/fleet.js';
import { cleanUpAfterEach } from './support/cleanup.js';
import { LONG } from './support/effort.js';
import { type Gap, logLength, startPair, wireTo } from './support/redis-pair.js';
import { RedisServer } from './support/redis-server.js';
import { numbersOf } from './support/ticks.js';
import { until } from './support/until.js';

const FAILOVERS = 4;
const ROUNDS = LONG ? 10 : 1;
const REPORTED_MS = 6000;

const cleanup = cleanUpAfterEach();
const { started } = cleanup;

const random = (most: number): number => Math.random() * most;
const follows = (server: RedisServer, master: RedisServer): Promise<void> => {
  server.cli('replicaof', '127.0.0.1', String(master.port));
  return until(
    () => server.cli('info', 'replication').includes('master_link_status:up'),
    GOES_ON_MS,
    'the replica following',
  );
};

it.each(Array.from({ length: ROUNDS }, (_, i) => i))(
  'failovers in a row lose no event without a gap (%d)',
  async () => {
    let { old: master, promoted: next } = await startPair(cleanup);
    const wires = [await wireTo(master, cleanup), await wireTo(master, cleanup)];
    const fleet = started(await Fleet.start(...wires.map(({ url }) => ({ REDIS_URL: url }))));
    const accepted: string[] = [];
    let number = 0;
    const report = async (): Promise<void> => {
      const { service } = fleet.replicas[number % 2];
      number += 1;
      const type = `t-${number}`;
      const { status } = await service.post('/api/threats', { type, source: 's', severity: 'LOW' });
      if (status === 201) accepted.push(type);
    };
    let flowing = true;
    const flow = (async () => {
      while (flowing) {
        fleet.publish(1);
        await report().catch(() => undefined);
        await sleep(15);
      }
    })();
    await sleep(500);
    const delays: number[][] = [];
    for (let n = 0; n < FAILOVERS; n += 1) {
      await sleep(random(3000));
      // From here on the replica gets nothing any more, for a while the old master alone takes writes.
      next.cli('replicaof', '127.0.0.1', '1');
      await sleep(random(1500));
      next.cli('replicaof', 'no', 'one');
      const order = Math.random() < 0.5 ? [0, 1] : [1, 0];
      const waits = [random(2500), random(2500)];
      delays.push(waits);
      await sleep(waits[0]);
      wires[order[0]].retarget(next.port);
      await sleep(waits[1]);
      wires[order[1]].retarget(next.port);
      [master, next] = [next, master];
      await sleep(random(1500));
      await follows(next, master);
    }
    await sleep(1000);
    flowing = false;
    await flow;
    await sleep(REPORTED_MS);
    fleet.publish(5);
    await fleet.goesOn();
    const log = await fleet.replicas[0].service.events();
    const kept = new Set(log.map(({ id }) => id));
    const gaps = log.filter(({ type }) => type === 'stream.gap').map(({ payload }) => payload as Gap);
    const seen = new Map<string, ReadEvent>();
    for (const { reader } of fleet.replicas) {
      for (const { data } of reader.events) seen.set(String(data.id), data as unknown as ReadEvent);
    }
    const lost = [...seen.values()].filter(({ id, type }) => !kept.has(id) && type !== 'stream.gap');
    const open = lost.filter(({ timestamp: at }) => !gaps.some(({ from, to }) => from <= at && at <= to));
    expect(lost.length).toBeGreaterThan(0);
    expect({
      open: open.map(({ timestamp, type }) => [timestamp, type]),
      gaps: open.length > 0 ? gaps : [],
      delays: open.length > 0 ? delays : [],
    }).toEqual({ open: [], gaps: [], delays: [] });
    for (const { reader, name, published } of fleet.replicas) {
      // A batch whose answer the failover lost is sent again, to the new history. Its reader then gets the event once more,
      // after the gap that takes the first one back.
      const takenBack = (position: string): boolean =>
        reader.gaps.some(
          ({ data: { from, to } }) =>
            comparePositions(String(from), position) < 0 && comparePositions(position, String(to)) <= 0,
        );
      const given = new Map<string, string[]>();
      for (const { data } of reader.events)
        given.set(String(data.id), [...(given.get(String(data.id)) ?? []), String(data.position)]);
      const wrong = log
        .map(({ id, position }) => ({ position, given: given.get(id) ?? [] }))
        .filter(
          (one) => one.given.filter((at) => at === one.position || !takenBack(at)).join() !== one.position,
        );
      expect({ name, wrong, connections: reader.connections }).toEqual({ name, wrong: [], connections: 1 });
      expect(numbersOf(reader.events, name).at(-1)).toBe(published - 1);
    }
    expect(new Set(log.map(({ id }) => id)).size).toBe(log.length);
    // A change and its event are both there, or neither.
    const threats = new Set<string>();
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = `limit=500${cursor && `&cursor=${cursor}`}`;
      const answer = await fleet.replicas[0].service.get(`/api/threats?${query}`).expect(200);
      const body = answer.body as { threats: { type: string }[]; next_cursor: string | null };
      for (const { type } of body.threats) threats.add(type);
      cursor = body.next_cursor;
    }
    const told = new Set(
      log
        .filter(({ type }) => type === 'threat.detected')
        .map(({ payload }) => (payload as { type: string }).type),
    );
    expect([...threats].sort()).toEqual([...told].sort());
    expect(logLength(master)).toBe(log.length);
  },
  90_000,
);
