/** The tiers of the log in Redis where other programs, older releases and crashes have changed it. */
import { openReady, type RedisClient } from '../../../test/support/redis-clients.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import { randomId } from '../../shared/ids.js';
import { type EventRecord, LOG_END, type LoggedEvent, positionBefore } from '../event-log.js';

const numberOf = ({ json }: LoggedEvent): number => (JSON.parse(json) as { n: number }).n;
const numbers = (events: LoggedEvent[]): number[] => events.map(numberOf);
const isOdd = (event: LoggedEvent): boolean => numberOf(event) % 2 === 1;
const report = (removed: LoggedEvent[]): EventRecord[] => [{ json: `{"n":${removed.length}01}`, keys: [] }];

describe('the log in Redis', () => {
  let server: RedisServer;
  let client: RedisClient;
  let stream: string;
  let evidence: string;

  beforeEach(async () => {
    server = await RedisServer.start();
    client = await openReady(server.url);
    ({ stream, evidence } = client.link.keys);
  });
  afterEach(async () => {
    await client.store.close();
    await server.stop();
  });

  /** Appends events with these numbers, each about the subject `x`. */
  const append = async (from: number, to: number): Promise<LoggedEvent[]> => {
    const events = Array.from({ length: to - from }, (_, i) => ({
      json: `{"n":${from + i}}`,
      keys: ['s:x'],
    }));
    await client.log.append(randomId(8), events);
    return client.log.read({ order: 'asc', limit: 10_000 });
  };
  const read = async (key?: string, limit = 100): Promise<number[]> =>
    numbers(await client.log.read({ order: 'asc', limit, key }));
  const readDown = async (key?: string, limit = 100): Promise<number[]> =>
    numbers(await client.log.read({ order: 'desc', limit, key }));

  it('may lack any event up to where an older release has trimmed it, and only decisions after that', async () => {
    const all = await append(0, 10);
    for (const { position } of all.slice(0, 4)) server.cli('xdel', stream, position);
    const old = { trimmed: all[3].position, evidenceTrimmed: all[3].position };
    expect(await client.log.bounds()).toMatchObject(old);
    await client.log.trimRecent(4, isOdd, report);
    expect(await client.log.bounds()).toMatchObject({ ...old, trimmed: all[6].position });
    expect(await read()).toEqual([5, 7, 8, 9, 201]);
  });

  it('moves and removes the events that an older release has written, with their index entries', async () => {
    for (const n of [1, 2]) {
      const json = `{"n":${n},"payload":{"agent_id":"x"},"meta":{"correlation_id":null}}`;
      const position = server.cli('xadd', stream, '*', 'event', json).trim();
      const [ms, seq] = position.split('-').map((part) => part.padStart(15, '0'));
      server.cli('zadd', client.link.keys.events('s:x'), '0', `${ms}-${seq}`);
    }
    await client.log.trimRecent(9, isOdd);
    expect([await read(), await read('s:x')]).toEqual([[1], [1]]);
    expect(server.cli('zcard', client.link.keys.events('s:x')).trim()).toBe('1');
    await client.log.trim(LOG_END, 9);
    expect(server.cli('exists', client.link.keys.events('s:x')).trim()).toBe('0');
  });

  it('may lack any event up to where another program has trimmed it, and keeps what was moved before', async () => {
    const all = await append(0, 20);
    await client.log.trimRecent(6, isOdd, report);
    expect((await client.log.bounds()).evidenceTrimmed).toBeNull();
    server.cli('xtrim', stream, 'MAXLEN', '=', '11');
    const mark = positionBefore(all[10].position);
    expect(await client.log.bounds()).toMatchObject({ trimmed: mark, evidenceTrimmed: mark });
    expect(await read()).toEqual([1, 3, 5, ...numbers(all.slice(10)), 301]);
    // The mark stays where it is when our own trims go on.
    await client.log.trimRecent(3, isOdd, report);
    expect(await client.log.bounds()).toMatchObject({
      ...{ trimmed: all[12].position, evidenceTrimmed: mark },
    });
    expect(await read()).toEqual([1, 3, 5, 11, ...numbers(all.slice(13)), 301, 201]);
  });

  it('finds all events of a subject, though another program has left more index entries than are looked at', async () => {
    await append(0, 8);
    await client.log.trimRecent(4, isOdd);
    await append(10, 25_000);
    server.cli('xtrim', stream, 'MAXLEN', '=', '3');
    expect(await read('s:x', 2)).toEqual([1, 3]);
    expect(await read('s:x', 5)).toEqual([1, 3, 24_997, 24_998, 24_999]);
    expect(await readDown('s:x', 5)).toEqual([24_999, 24_998, 24_997, 3, 1]);
    await client.log.trimRecent(3, isOdd);
    expect(await read('s:x', 9)).toEqual([1, 3, 24_997, 24_999]);
    expect(await readDown('s:x', 9)).toEqual([24_999, 24_997, 3, 1]);
  });

  it('knows nothing of a stream that was deleted, once a new one is there', async () => {
    await append(0, 8);
    await client.log.trimRecent(4, isOdd);
    server.cli('del', stream);
    expect(await client.log.bounds()).toMatchObject({ trimmed: null, evidenceTrimmed: null, length: 2 });
    const all = await append(10, 14);
    expect(await client.log.bounds()).toMatchObject({ trimmed: null, length: 6 });
    await client.log.trimRecent(2, isOdd);
    expect(await client.log.bounds()).toMatchObject({ trimmed: all[2].position, evidenceTrimmed: null });
    expect(await read()).toEqual([1, 3, 11, 12, 13]);
  });

  it('has each event once after half of a trim, and ends the trim with the next one', async () => {
    const all = await append(0, 6);
    // A crash of Redis may leave the first commands of the script.
    for (const { position, json } of [all[1], all[3]])
      server.cli('xadd', evidence, position, 'event', json, 'keys', 's:x');
    expect(await read()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await readDown()).toEqual([5, 4, 3, 2, 1, 0]);
    expect(await client.log.trimRecent(5, isOdd, report)).toBe(5);
    expect([await read(), await read('s:x')]).toEqual([
      [1, 3, 5, 301],
      [1, 3, 5],
    ]);
    expect((await client.log.bounds()).evidence.length).toBe(2);
  });

  it('loses nothing if the evidence tier cannot take an event, and says which key is damaged', async () => {
    const all = await append(0, 4);
    server.cli('xadd', evidence, '9999999999999-0', 'event', '{"n":99}');
    await expect(client.log.trimRecent(4, isOdd)).rejects.toMatchObject({
      ...{ code: 'store_damaged', detail: expect.stringContaining(evidence) },
    });
    expect(numbers(all)).toEqual([0, 1, 2, 3]);
    expect(server.cli('xlen', stream).trim()).toBe('4');
  });

  it('refuses keys of a wrong type before it changes anything', async () => {
    await append(0, 4);
    server.cli('set', evidence, 'x');
    for (const call of [() => client.log.trimRecent(4, isOdd), () => client.log.bounds()])
      await expect(call()).rejects.toMatchObject({ code: 'store_wrong_type' });
    expect(server.cli('xlen', stream).trim()).toBe('4');
  });

  it('trims in a full Redis, also if all events are moved', async () => {
    await append(0, 6);
    server.cli('config', 'set', 'maxmemory', '1');
    expect(await client.log.trimRecent(2, () => true)).toBe(2);
    expect(await client.log.trimRecent(2, isOdd, report)).toBe(2);
    expect(numbers(await client.log.trim(LOG_END, 1, report))).toEqual([0]);
    expect(await read()).toEqual([1, 3, 4, 5, 101, 101]);
  });

  it('takes each event once if two trims overlap', async () => {
    const other = await openReady(server.url);
    await append(0, 30);
    const script = client.link.script.bind(client.link);
    jest.spyOn(client.link, 'script').mockImplementationOnce(async (...args) => {
      await other.log.trimRecent(10, isOdd, report);
      return script(...args);
    });
    expect(await client.log.trimRecent(20, isOdd, report)).toBe(0);
    const left = Array.from({ length: 30 }, (_, n) => n).filter((n) => n >= 10 || n % 2 === 1);
    expect(await read()).toEqual([...left, 501]);
    await other.store.close();
  });
});
