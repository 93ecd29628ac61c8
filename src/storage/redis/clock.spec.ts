/** The clock of Redis as a replica knows it: by its answers, and by the time since then. */
import { openClient } from '../../../test/support/redis-clients.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import type { StoreTime } from '../store.js';
import { type Measurable, RedisClock } from './clock.js';

describe('the clock of Redis', () => {
  let ownMs: number;
  let passedMs: number;
  let connected: () => void;
  let questions: { answer(time: string[]): void; fail(): void }[];
  let link: { -readonly [K in keyof Measurable]: Measurable[K] };
  let clock: RedisClock;

  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['performance', 'Date', 'nextTick'] });
    ownMs = 5_000_000;
    passedMs = 10_000;
    questions = [];
    jest.spyOn(Date, 'now').mockImplementation(() => ownMs);
    jest.spyOn(performance, 'now').mockImplementation(() => passedMs);
    link = {
      epoch: 0,
      closed: false,
      command: (name) => {
        expect(name).toBe('time');
        return new Promise((answer, reject) => {
          questions.push({ answer, fail: () => reject(new Error('lost')) });
        });
      },
      onConnect: (listener) => {
        connected = listener;
      },
    };
    clock = new RedisClock(link);
  });
  afterEach(() => {
    clock.close();
    jest.restoreAllMocks();
    jest.useRealTimers();
  });

  const settled = async (): Promise<void> => {
    for (let i = 0; i < 5; i += 1) await Promise.resolve();
  };
  /** Sends its request at the connect, and gets the answer after this time. */
  const measure = async (time: string[], tookMs: number): Promise<void> => {
    connected();
    passedMs += tookMs;
    questions.at(-1)?.answer(time);
    await settled();
  };
  const read = (): StoreTime => {
    const { earliest, latest } = clock.now();
    return { earliest: Math.round(earliest * 1e6) / 1e6, latest: Math.round(latest * 1e6) / 1e6 };
  };

  it('is unknown before the first answer: nothing is due, and a delay uses the clock of the replica', () => {
    expect(clock.now()).toEqual({ earliest: 0, latest: 5000 });
    connected();
    expect(clock.now()).toEqual({ earliest: 0, latest: 5000 });
  });

  it('is between the answer and the answer plus its delay, and goes on by the monotonic clock', async () => {
    await measure(['7000', '250000'], 40);
    expect(read()).toEqual({ earliest: 7000.25, latest: 7000.29 });
    passedMs += 500;
    ownMs += 3_600_000;
    expect(read()).toEqual({ earliest: 7000.75, latest: 7000.79 });
  });

  it('is measured every second, and the last measurement stays in use without an answer', async () => {
    await measure(['7000', '0'], 10);
    jest.advanceTimersByTime(1000);
    expect(questions).toHaveLength(2);
    passedMs += 1000;
    questions[1].fail();
    await settled();
    expect(read()).toEqual({ earliest: 7001, latest: 7001.01 });
    jest.advanceTimersByTime(1000);
    passedMs += 4;
    questions[2].answer(['9000', '0']);
    await settled();
    expect(read().earliest).toBe(9000);
  });

  it('is measured again by a new connection, and ignores the answer to an earlier request', async () => {
    await measure(['7000', '0'], 10);
    jest.advanceTimersByTime(1000);
    link.epoch += 1;
    await measure(['3000', '0'], 20);
    expect(read()).toEqual({ earliest: 3000, latest: 3000.02 });
    questions[1].answer(['7001', '0']);
    await settled();
    expect(read()).toEqual({ earliest: 3000, latest: 3000.02 });
  });

  it('is not measured after the close', () => {
    link.closed = true;
    jest.advanceTimersByTime(1000);
    expect(questions).toEqual([]);
    link.closed = false;
    clock.close();
    jest.advanceTimersByTime(1000);
    expect(questions).toEqual([]);
  });
});

describe('a client of Redis', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server.stop());
  afterEach(() => jest.restoreAllMocks());

  it('knows the time with its first answer, whatever its own clock says', async () => {
    const { now } = Date;
    jest.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000);
    const { store, link } = openClient({ url: server.url });
    expect(store.clock().earliest).toBe(0);
    await link.command('ping', []);
    const { earliest, latest } = store.clock();
    expect(Math.abs(earliest - now() / 1000)).toBeLessThan(60);
    expect(latest).toBeGreaterThanOrEqual(earliest);
    await store.close();
  });
});
