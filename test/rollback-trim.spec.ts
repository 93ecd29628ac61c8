/**
 * A failover while the oldest events are trimmed on both sides: the gap still covers every lost event, the readers get
 * what survived once, and the index has exactly the entries of the events that are left.
 */
import type { ReadEvent } from '../src/events/log/stored-event.js';
import { sleep } from '../src/shared/clock.js';
import { Fleet, GOES_ON_MS, Replica } from './faults/fleet.js';
import { cleanUpAfterEach } from './support/cleanup.js';
import { EVENT_LOG, type Gap, logLength, replicated, startPair, wireTo } from './support/redis-pair.js';
import { RedisServer } from './support/redis-server.js';
import { SseClient } from './support/sse-client.js';
import { numbersOf } from './support/ticks.js';
import { until } from './support/until.js';
import { Wire } from './support/wire.js';

const REPORTED_MS = 10_000;
const INDEX = 'brain:sys:events:';
const EVIDENCE = 'brain:events:evidence';

const cleanup = cleanUpAfterEach();
const { later, started } = cleanup;

describe('a failover while events are trimmed', () => {
  let old: RedisServer;
  let promoted: RedisServer;
  let wires: [Wire, Wire];
  let fleet: Fleet;
  let stays: Replica;
  let leaves: Replica;

  beforeEach(async () => {
    ({ old, promoted } = await startPair(cleanup));
    wires = [await wireTo(old, cleanup), await wireTo(old, cleanup)];
    const env = { BRAIN_EVENTS_MAX_LENGTH: '1000' };
    fleet = started(
      await Fleet.start({ ...env, REDIS_URL: wires[0].url }, { ...env, REDIS_URL: wires[1].url }),
    );
    [stays, leaves] = fleet.replicas as [Replica, Replica];
  }, 60_000);

  const firstOf = (server: RedisServer): string =>
    server.cli('xrange', EVENT_LOG, '-', '+', 'COUNT', '1').split('\n')[0];
  const short = (server: RedisServer): Promise<void> =>
    until(() => logLength(server) <= 1000, GOES_ON_MS, 'the trim');

  /** Both have the same events and have trimmed. Then one replica goes to the promoted server; both write and trim again. */
  async function part(each: number): Promise<ReadEvent[]> {
    fleet.publish(700);
    await fleet.goesOn();
    await short(old);
    await sleep(1500);
    await replicated({ old, promoted });
    const before = firstOf(old);
    promoted.cli('replicaof', 'no', 'one');
    wires[1].retarget(promoted.port);
    for (let n = 0; n < each; n += 10) {
      fleet.publish(10);
      await sleep(20);
    }
    for (const { reader, name, published } of fleet.replicas) {
      const own = (): boolean => numbersOf(reader.events, name).at(-1) === published - 1;
      await until(own, GOES_ON_MS, `${name} reading its own`);
    }
    await short(old);
    await short(promoted);
    expect([firstOf(old), firstOf(promoted)]).not.toContain(before);
    return stays.reader.events.map(({ data }) => data as unknown as ReadEvent);
  }

  const rollbacks = async (): Promise<Gap[]> =>
    ((await fleet.gapsInLog()) as unknown as Gap[]).filter(({ reason }) => reason === 'rollback');

  /** Its own events since the histories parted are not in the history that is left. */
  async function expectCovered(seen: ReadEvent[], parted: number): Promise<void> {
    const lost = seen.filter(({ payload, timestamp }) => {
      const { agent_id } = payload as { agent_id?: string };
      return agent_id === stays.name && timestamp > parted;
    });
    expect(lost.length).toBeGreaterThan(50);
    const gaps = await rollbacks();
    const open = lost.filter(({ timestamp: at }) => !gaps.some(({ from, to }) => from <= at && at <= to));
    expect({ gaps, open: open.length, firstOpen: open[0]?.timestamp }).toMatchObject({ open: 0 });
  }

  function expectExactIndex(server: RedisServer): void {
    const script =
      `local names = {} ` +
      `for _, tier in ipairs(KEYS) do for _, e in ipairs(redis.call('XRANGE', tier, '-', '+')) do ` +
      `for name in string.gmatch(e[2][4], '%S+') do names[name] = (names[name] or 0) + 1 end end end ` +
      `local wrong = {} ` +
      `for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do local name = string.sub(key, #ARGV[1] + 1) ` +
      `if redis.call('ZCARD', key) ~= names[name] then wrong[#wrong + 1] = key end names[name] = nil end ` +
      `for name in pairs(names) do wrong[#wrong + 1] = name end return wrong`;
    expect(server.cli('eval', script, '2', EVENT_LOG, EVIDENCE, INDEX)).toBe('');
  }

  it('reports the lost events, gives what survived once, and leaves an exact index', async () => {
    const parted = (): number => Date.now() / 1000;
    const partedAfter = parted();
    const seen = await part(150);
    wires[0].retarget(promoted.port);
    fleet.publish(50);
    await until(async () => (await rollbacks()).length > 0, REPORTED_MS, 'the gap');
    await fleet.goesOn();
    await sleep(1500);
    const kept = new Set((await fleet.replicas[1].service.events()).map(({ id }) => id));
    const open = seen.filter(({ id, timestamp, payload }) => {
      const own = (payload as { agent_id?: string }).agent_id === stays.name;
      return own && !kept.has(id) && timestamp > partedAfter && Number((payload as { n: number }).n) >= 700;
    });
    expect(open.length).toBeGreaterThan(50);
    const gaps = await rollbacks();
    expect(open.filter(({ timestamp: at }) => !gaps.some(({ from, to }) => from <= at && at <= to))).toEqual(
      [],
    );
    // Every event that is in the log that is left came to each connected reader once.
    for (const { reader } of fleet.replicas) {
      const times = new Map<string, number>();
      for (const { data } of reader.events) times.set(String(data.id), (times.get(String(data.id)) ?? 0) + 1);
      const survivors = (await leaves.service.events({ type: 'test.*' })).map(({ id }) => id);
      expect(survivors.filter((id) => times.get(id) !== 1)).toEqual([]);
      expect(reader.gaps.every(({ data }) => data.reason === 'rollback')).toBe(true);
    }
    expectExactIndex(promoted);
    expectExactIndex(old);
    // A reader that comes back with a trimmed position is told so, and gets all that is left.
    const back = await SseClient.open(
      `${leaves.url}/api/events/stream`,
      undefined,
      leaves.reader.positions[0],
    );
    later(() => back.close());
    await back.received(900);
    expect(back.events[0]).toMatchObject({ event: 'gap', data: { reason: 'trimmed' } });
  }, 60_000);

  it.each([
    ['to between the fork and the end of the lost history', 0, 400],
    ['beyond the end of the lost history', 1500, 150],
  ])(
    'reports the lost events though the new history was trimmed %s',
    async (_where, more, each) => {
      const from = Date.now() / 1000;
      fleet.publish(1);
      await fleet.goesOn();
      const seen = await part(each);
      const [parted] = seen
        .filter(({ payload }) => (payload as { n?: number; agent_id?: string }).agent_id === stays.name)
        .filter(({ payload }) => (payload as { n: number }).n === 700)
        .map(({ timestamp }) => timestamp);
      expect(parted).toBeGreaterThan(from);
      leaves.publish(more || 800);
      await fleet.replicas[1].stream.flush();
      await short(promoted);
      wires[0].retarget(promoted.port);
      await sleep(6000);
      fleet.publish(5);
      await sleep(500);
      await expectCovered(seen, parted);
    },
    60_000,
  );
});
