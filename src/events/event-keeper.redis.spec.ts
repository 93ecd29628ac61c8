/** What the keeper tells of a Redis that lost its end. */
import { openClient, RECOVERY_MS, type RedisClient } from '../../test/support/redis-clients.js';
import { RedisServer, until, Wire } from '../../test/support/redis-server.js';
import { tick } from '../../test/support/ticks.js';
import { nowSeconds, sleep } from '../shared/clock.js';
import { Logger } from '../shared/logger.js';
import type { Envelope } from './event.js';
import { EventKeeper } from './event-keeper.js';
import { EventStream } from './event-stream.js';

const logger = new Logger({ level: 'silent', format: 'json' });
/** A look every two seconds, and the store may have been away before it. */
const TOLD_MS = 10_000;

interface Gap {
  reason: string;
  from: number;
  to: number;
}

interface Process {
  client: RedisClient;
  stream: EventStream;
  keeper: EventKeeper;
}

describe('the keeper on Redis', () => {
  let server: RedisServer;
  let wire: Wire;
  let processes: Process[];

  beforeEach(async () => {
    server = await RedisServer.start();
    wire = await Wire.to(server.port);
    processes = [];
  });
  afterEach(async () => {
    for (const { client, keeper } of processes) {
      await keeper.stop(false);
      await client.store.close();
    }
    await wire.close();
    await server.stop();
  });

  const open = (url: string): Process => {
    const client = openClient({ url });
    const stream = new EventStream(client.log, logger);
    const keeper = new EventKeeper(client.store, client.log, stream, logger);
    const one = { client, stream, keeper };
    processes.push(one);
    return one;
  };
  const events = async ({ client }: Process): Promise<Envelope[]> =>
    (await client.log.read({ order: 'asc', limit: 100 })).map(({ json }) => JSON.parse(json) as Envelope);
  const gaps = async (one: Process): Promise<Gap[]> =>
    (await events(one))
      .filter(({ type }) => type === 'stream.gap')
      .map(({ payload }) => payload as Gap);
  const told = async (one: Process): Promise<Gap> => {
    const any = async (): Promise<boolean> => (await gaps(one).catch(() => [])).length > 0;
    await until(any, TOLD_MS, 'the gap');
    const [gap, ...more] = await gaps(one);
    expect(more).toEqual([]);
    return gap;
  };
  const marks = (): string[] =>
    server
      .cli('--scan', '--pattern', 'brain:processes:process:*')
      .split('\n')
      .filter((key) => key !== '');
  const marked = (howMany: number): Promise<void> =>
    until(() => marks().length === howMany, RECOVERY_MS, `${howMany} marks`);

  it('tells a loss that nobody but this process has seen, be it ever so short', async () => {
    const one = open(server.url);
    one.keeper.start();
    await marked(1);
    server.cli('save');
    // Between two looks, and nobody follows.
    one.stream.publish(tick(1, 'agent', ''));
    await one.stream.flush();
    const [{ timestamp }] = await events(one);
    await server.kill();
    await server.run();
    const gap = await told(one);
    expect([gap.reason, gap.from <= timestamp, timestamp <= gap.to]).toEqual(['rollback', true, true]);
  });

  it('tells a loss since the oldest event that was lost, however long that had waited for the log', async () => {
    const one = open(wire.url);
    const other = open(server.url);
    one.keeper.start();
    await marked(1);
    wire.tear();
    one.stream.publish(tick(1, 'agent', ''));
    const published = nowSeconds();
    await sleep(4000);
    other.stream.publish(tick(2, 'other', ''));
    await other.stream.flush();
    server.cli('save');
    wire.mend();
    await one.stream.flush();
    await server.kill();
    await server.run();
    const gap = await told(one);
    expect([gap.reason, gap.from <= published]).toEqual(['rollback', true]);
  }, 30_000);
});
