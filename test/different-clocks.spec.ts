/** Processes and servers of Redis whose clocks differ: gaps that cover what is lost, and connections that follow the right history. */
import { sleep } from '../src/shared/clock.js';
import { ServerHistories } from '../src/storage/redis/server-histories.js';
import { Fleet } from './faults/fleet.js';
import { cleanUpAfterEach } from './support/cleanup.js';
import { ServiceProcess, shiftedBy } from './support/process.js';
import { type Gap, replicated, startPair, wireTo } from './support/redis-pair.js';
import { RedisServer } from './support/redis-server.js';
import { numbersOf } from './support/ticks.js';
import { until } from './support/until.js';

const cleanup = cleanUpAfterEach();
const { later, started } = cleanup;
afterEach(() => jest.restoreAllMocks());

const { now } = Date;

describe('a process that is killed', () => {
  async function startShifted(url: string, ms: number): Promise<ServiceProcess> {
    const service = await ServiceProcess.start({
      REDIS_URL: url,
      BRAIN_MAX_STALE_SECONDS: '0',
      ...shiftedBy(ms),
    });
    later(() => service.stop('SIGKILL'));
    return service;
  }
  const gaps = async (service: ServiceProcess): Promise<Gap[]> => {
    const { body } = await service.get('/api/events?type=stream.gap');
    return (body.events as { payload: Gap }[]).map(({ payload }) => payload);
  };

  it('is reported by a gap that ends after it begins, though the clock of the reporter is behind', async () => {
    const redis = started(await RedisServer.start());
    const killed = await startShifted(redis.url, 60_000);
    const reporter = await startShifted(redis.url, 0);
    await sleep(3000);
    const diedAt = (now() + 60_000) / 1000;
    await killed.stop('SIGKILL');
    await until(async () => (await gaps(reporter)).length > 0, 20_000, 'the gap');
    const [{ from, to }] = await gaps(reporter);
    expect([from <= to, to >= diedAt]).toEqual([true, true]);
  }, 60_000);

  it('is reported until it was killed, though Redis fell back to a replica that was far behind', async () => {
    const { old, promoted } = await startPair(cleanup);
    const killed = await ServiceProcess.start({ REDIS_URL: old.url, BRAIN_MAX_STALE_SECONDS: '0' });
    later(() => killed.stop('SIGKILL'));
    await sleep(3000);
    old.cli('acl', 'setuser', 'default', '-psync', '-sync');
    old.cli('client', 'kill', 'type', 'replica');
    await sleep(10_000);
    const threat = { type: 't', source: 's', severity: 'LOW' };
    expect((await killed.post('/api/threats', threat)).status).toBe(201);
    const lostAt = now() / 1000;
    await killed.stop('SIGKILL');
    await old.kill();
    promoted.cli('replicaof', 'no', 'one');
    const next = await ServiceProcess.start({ REDIS_URL: promoted.url, BRAIN_MAX_STALE_SECONDS: '0' });
    later(() => next.stop('SIGKILL'));
    await until(async () => (await gaps(next)).length > 0, 20_000, 'the gap');
    const [{ from, to }] = await gaps(next);
    expect([from <= lostAt - 1, to >= lostAt]).toEqual([true, true]);
  }, 60_000);
});

describe('two connections that see two histories', () => {
  it('follow the one that was connected last, whatever the clocks of the servers say', async () => {
    // The clock of the old server is an hour ahead.
    const first = { id: 'a', order: 1, position: '0-0', at: now() / 1000 + 3600 - 600 };
    const older = { forks: [first], connectedMs: 1 } as unknown as ServerHistories;
    const newer = {
      connectedMs: 2,
      forks: [first, { id: 'b', order: 2, position: '5-0', at: now() / 1000 }],
    } as unknown as ServerHistories;
    const isBehind = (one: ServerHistories, other: ServerHistories): boolean =>
      ServerHistories.prototype.isBehind.call(one, other);
    expect([isBehind(older, newer), isBehind(newer, older)]).toEqual([true, false]);
  });

  it.each([
    ['agree', 0],
    ['differ by an hour', 3600],
  ])(
    'reach every reader where the clocks of the servers %s',
    async (_how, aheadSeconds) => {
      const { old, promoted } = await startPair(cleanup);
      const [, id] = /master_replid:(\w+)/.exec(old.cli('info', 'replication')) as unknown as [
        string,
        string,
      ];
      old.cli('hset', 'brain:sys:terms', id, `1 0-0 ${(now() / 1000 + aheadSeconds).toFixed(6)}`);
      const wire = await wireTo(old, cleanup);
      const fleet = started(await Fleet.start({ REDIS_URL: wire.url }));
      const [replica] = fleet.replicas;
      fleet.publish(10);
      await fleet.goesOn();
      await replicated({ old, promoted });
      promoted.cli('replicaof', 'no', 'one');
      // The address leads to the promoted server now, but only the connection that writes breaks.
      (wire as unknown as { target: number }).target = promoted.port;
      // The other one waits for events most of the time.
      const lines = (): string[] =>
        old
          .cli('client', 'list')
          .split('\n')
          .filter((line) => line.includes('brain-control-plane'));
      let writing: string[] = [];
      const isFound = (): boolean => {
        const clients = lines();
        writing = clients.filter((line) => !/ flags=\w*b/.test(line));
        return clients.length === 2 && writing.length === 1;
      };
      await until(isFound, 10_000, 'one connection that waits for events and one that does not');
      old.cli('client', 'kill', 'id', /id=(\d+)/.exec(writing[0])?.[1] as string);
      await sleep(3000);
      fleet.publish(10);
      const given = (): boolean => numbersOf(replica.reader.events, replica.name).length === 20;
      await until(given, 10_000, 'the reader getting what was written to the promoted server');
    },
    60_000,
  );
});
