/** The gaps that GapDetector reports for a Redis that lost events, and for processes that have ended or only seem to. */
import { type ChildProcess, spawn } from 'node:child_process';
import { silentLogger } from '../../../test/support/logs.js';
import { openClient, RECOVERY_MS, type RedisClient } from '../../../test/support/redis-clients.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import { tick } from '../../../test/support/ticks.js';
import { until } from '../../../test/support/until.js';
import { Wire } from '../../../test/support/wire.js';
import { nowSeconds, sleep } from '../../shared/clock.js';
import type { Whereabouts } from '../../shared/process-identity.js';
import { processState, whereabouts } from '../../shared/process-identity.js';
import type { Envelope } from '../event.js';
import { EventStream } from '../event-stream.js';
import { GapDetector, type GapDetectorSettings } from './gap-detector.js';

const logger = silentLogger();
/** There is a check every two seconds, and the store may have been unreachable before it. */
const TOLD_MS = 10_000;

interface Gap {
  reason: string;
  from: number;
  to: number;
}

interface Process {
  client: RedisClient;
  stream: EventStream;
  keeper: GapDetector;
}

describe('GapDetector on Redis', () => {
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

  const open = (url: string, settings: Partial<GapDetectorSettings> = {}): Process => {
    const client = openClient({ url });
    const stream = new EventStream(client.log, logger);
    const keeper = new GapDetector(client.store, client.log, stream, logger, {
      maxStaleSeconds: 0,
      ...settings,
    });
    const one = { client, stream, keeper };
    processes.push(one);
    return one;
  };
  const events = async ({ client }: Process): Promise<Envelope[]> =>
    (await client.log.read({ order: 'asc', limit: 100 })).map(({ json }) => JSON.parse(json) as Envelope);
  const gaps = async (one: Process): Promise<Gap[]> =>
    (await events(one)).filter(({ type }) => type === 'stream.gap').map(({ payload }) => payload as Gap);
  const told = async (one: Process): Promise<Gap> => {
    const any = async (): Promise<boolean> => (await gaps(one).catch(() => [])).length > 0;
    await until(any, TOLD_MS, 'the gap');
    const [gap, ...more] = await gaps(one);
    expect(more).toEqual([]);
    return gap;
  };
  const records = (): string[] =>
    server
      .cli('--scan', '--pattern', 'brain:processes:process:*')
      .split('\n')
      .filter((key) => key !== '');
  const recorded = (howMany: number): Promise<void> =>
    until(() => records().length === howMany, RECOVERY_MS, `${howMany} records`);

  it('reports the loss of an event that only this process has seen', async () => {
    const one = open(server.url);
    one.keeper.start();
    await recorded(1);
    server.cli('save');
    // Between two checks, and without a follower.
    one.stream.publish(tick(1, 'agent', ''));
    await one.stream.flush();
    const [{ timestamp }] = await events(one);
    await server.kill();
    await server.run();
    const gap = await told(one);
    expect([gap.reason, gap.from <= timestamp, timestamp <= gap.to]).toEqual(['rollback', true, true]);
  });

  it('reports a loss from the oldest lost event on, even if that event waited long for the log', async () => {
    const one = open(wire.url);
    const other = open(server.url);
    one.keeper.start();
    await recorded(1);
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

  it('does not report a silent process of its own machine that still runs', async () => {
    const silent = open(wire.url);
    const other = open(server.url);
    silent.keeper.start();
    other.keeper.start();
    await recorded(2);
    wire.tear();
    await sleep(13_000);
    expect(await gaps(other)).toEqual([]);
    expect(records()).toHaveLength(2);
  }, 30_000);

  it('reports a process of another machine after a long silence; the process registers again when it comes back', async () => {
    const elsewhere = { processState: () => 'unknown' as const, silenceMs: 10_000 };
    const silent = open(wire.url, elsewhere);
    const other = open(server.url, elsewhere);
    silent.keeper.start();
    other.keeper.start();
    await recorded(2);
    wire.tear();
    const cutAt = nowSeconds();
    await sleep(9000);
    expect(await gaps(other)).toEqual([]);
    const gap = await told(other);
    expect(gap.reason).toBe('unclean_stop');
    // It renewed its record until it was cut off, and could decide for at most five seconds from then on.
    expect(gap.to).toBeGreaterThanOrEqual(cutAt);
    expect(gap.to).toBeLessThan(cutAt + 9);
    expect(records()).toHaveLength(1);
    wire.mend();
    await recorded(2);
  }, 60_000);

  it('renews the record of a process while the log is of another type', async () => {
    const one = open(server.url);
    one.keeper.start();
    await recorded(1);
    const beat = (): number =>
      (JSON.parse(server.cli('get', records()[0])) as { last_beat_at: number }).last_beat_at;
    server.cli('rename', 'brain:events:stream', 'aside');
    server.cli('set', 'brain:events:stream', 'foreign');
    await sleep(2500);
    const before = beat();
    await until(() => beat() > before, TOLD_MS, 'the next beat');
  }, 30_000);

  it('reports the loss of a lone process until it is noticed if the process ended in a full Redis', async () => {
    const one = open(server.url);
    one.keeper.start();
    await recorded(1);
    const upToDate = (): string => server.cli('--scan', '--pattern', 'brain:timed_processes:process:*');
    expect(upToDate()).not.toBe('');
    server.cli('config', 'set', 'maxmemory', '1');
    await until(() => upToDate() === '', TOLD_MS, 'the record with old times');
    // Longer than a process is silent between two beats.
    await sleep(7000);
    const ended = nowSeconds();
    await one.keeper.stop(false);
    server.cli('config', 'set', 'maxmemory', '0');
    const next = open(server.url, { processState: () => 'ended' });
    next.keeper.start();
    const gap = await told(next);
    expect([gap.reason, gap.from < ended, ended <= gap.to]).toEqual(['unclean_stop', true, true]);
    await until(() => upToDate() !== '', TOLD_MS, 'the record of the next process');
  }, 60_000);
});

describe('a process of this machine', () => {
  let child: ChildProcess;
  let place: Whereabouts;
  beforeEach(async () => {
    child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    const script = `const { readFileSync } = require('node:fs');
      const text = readFileSync('/proc/${child.pid}/stat', 'utf8');
      process.stdout.write(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);`;
    const started = await new Promise<string>((resolve) => {
      const reader = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
      reader.stdout?.once('data', (text: Buffer) => resolve(text.toString()));
    });
    place = { ...(whereabouts() as Whereabouts), pid: child.pid as number, started };
  });
  afterEach(() => child.kill('SIGKILL'));

  it('runs while it is paused, and has ended when it is killed', async () => {
    expect(processState(place)).toBe('running');
    child.kill('SIGSTOP');
    expect(processState(place)).toBe('running');
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
    expect(processState(place)).toBe('ended');
  });

  it('has ended if another process has its id, and is unknown if it runs on another machine', () => {
    expect(processState({ ...place, started: '1' })).toBe('ended');
    expect(processState({ ...place, boot: 'another' })).toBe('unknown');
    expect(processState({ ...place, namespace: 'pid:[1]' })).toBe('unknown');
    expect(processState(null)).toBe('unknown');
  });
});
