/** What one connection, or many, can make the service hold in memory. */
import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { Store } from '../src/storage/store.js';
import { httpService, KEY } from './support/http.js';
import { expectProblem } from './support/problem.js';
import { requestBytes } from './support/raw-http.js';
import { SseClient } from './support/sse-client.js';
import { serviceOn, startEmbedded, withService } from './support/stores.js';
import { until } from './support/until.js';

const { service, connect: open } = httpService();

const BUNDLE = '/docs/swagger-ui-bundle.js';
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const port = (): number => (service.server.address() as AddressInfo).port;

interface Silent {
  client: Socket;
  /** The other end, in the service. */
  there: Socket;
}

/** A client that sends and does not read. */
async function silentClient(sent: string): Promise<Silent> {
  const client = connect(port(), '127.0.0.1').on('error', () => undefined);
  client.pause();
  const [there] = (await once(service.server, 'connection')) as [Socket];
  client.write(sent);
  return { client, there };
}

describe('pipelined requests', () => {
  it('are all answered, in their order', async () => {
    const connection = await open();
    const ids = Array.from({ length: 400 }, (_, i) => `id-${i}`);
    connection.send(Buffer.concat(ids.map((id) => requestBytes('GET /livez', [`X-Request-ID: ${id}`]))));
    for (const id of ids) expect((await connection.answer())?.headers['x-request-id']).toBe(id);
    connection.send(get('/livez'));
    expect((await connection.answer())?.status).toBe(200);
    connection.close();
  });

  it('are answered with their bodies, whatever arrives at one time', async () => {
    const connection = await open();
    const body = JSON.stringify({ agent_id: 'a', action: 'b'.repeat(200) });
    const headers = [KEY, 'Content-Type: application/json', `Content-Length: ${body.length}`];
    const all = Buffer.concat(
      Array.from({ length: 40 }, () => requestBytes('POST /api/policy/evaluate', headers, body)),
    );
    for (let at = 0; at < all.length; at += 997) connection.send(all.subarray(at, at + 997));
    for (let i = 0; i < 40; i += 1) expect((await connection.answer())?.status).toBe(200);
    connection.close();
  });

  it('do not start while the answers before them wait for the client', async () => {
    const health = jest.spyOn(service.app.get(Store), 'health');
    const { client, there } = await silentClient(
      get(BUNDLE).repeat(30) + get('/api/threats/health').repeat(500),
    );
    await until(() => there.writableLength > 0, 10_000, 'an answer that waits');
    await service.get('/livez').expect(200);
    expect(health).toHaveBeenCalledTimes(0);
    client.on('data', () => undefined);
    client.resume();
    await until(() => health.mock.calls.length === 500, 20_000, 'all answers');
    client.destroy();
  });

  it('beyond those that may wait in all end the connection that has most of them', async () => {
    const clients: Silent[] = [];
    for (let i = 0; i < 8; i += 1)
      clients.push(await silentClient(get(BUNDLE).repeat(9) + get('/livez').repeat(1300)));
    const ended = (): number => clients.filter(({ there }) => there.destroyed).length;
    await until(() => ended() > 0, 10_000, 'the end of a connection');
    const connection = await open();
    connection.send(get('/livez').repeat(100));
    for (let i = 0; i < 100; i += 1) expect((await connection.answer())?.status).toBe(200);
    expect(ended()).toBeLessThan(8);
    for (const { client } of clients) client.destroy();
    await until(() => ended() === 8, 10_000, 'the end of all');
    connection.send(get('/livez').repeat(1300));
    for (let i = 0; i < 1300; i += 1) expect((await connection.answer())?.status).toBe(200);
    connection.close();
  });

  it('are answered although what follows them is no HTTP, and then the connection is closed', async () => {
    const connection = await open();
    const ids = Array.from({ length: 20 }, (_, i) => `id-${i}`);
    const requests = ids.map((id) => requestBytes('GET /api/threats', [KEY, `X-Request-ID: ${id}`]));
    connection.send(Buffer.concat([...requests, Buffer.from('GARBAGE\r\n\r\n')]));
    for (const id of ids) {
      const answer = await connection.answer();
      expect([answer?.status, answer?.headers['x-request-id']]).toEqual([200, id]);
    }
    expect(await connection.answer()).toBeUndefined();
  });

  it('free the place of a live stream that waits behind them, when the client leaves', async () => {
    const limit = 3;
    await withService(startEmbedded, { BRAIN_STREAM_MAX_CLIENTS_PER_KEY: String(limit) }, async (own) => {
      const { port: of } = own.server.address() as AddressInfo;
      const client = connect(of, '127.0.0.1').on('error', () => undefined);
      client.pause();
      const stream = `GET /api/events/stream HTTP/1.1\r\nHost: x\r\n${KEY}\r\n\r\n`;
      client.write(get(BUNDLE).repeat(4) + stream.repeat(limit));
      const [name, value] = KEY.split(': ');
      const isTaken = async (): Promise<boolean> => {
        const answer = await fetch(`http://127.0.0.1:${of}/api/events/stream`, {
          headers: { [name]: value },
        });
        await answer.body?.cancel();
        return answer.status === 429;
      };
      await until(isTaken, 10_000, 'the streams');
      client.destroy();
      await until(async () => !(await isTaken()), 10_000, 'the places of the streams');
    });
  });
});

describe('a client that takes nothing', () => {
  afterEach(() => {
    service.server.timeout = 60_000;
  });

  it('is disconnected after a minute, and a live stream with events is not', async () => {
    expect(service.server.timeout).toBe(60_000);
    service.server.timeout = 400;
    const stream = await SseClient.open(`http://127.0.0.1:${port()}/api/events/stream`);
    const { there } = await silentClient(get(BUNDLE).repeat(20));
    const decide = (agent_id: string) =>
      service.post('/api/policy/evaluate', { agent_id, action: 'b' }).expect(200);
    const isGone = async (): Promise<boolean> => {
      await decide('early');
      return there.destroyed;
    };
    await until(isGone, 10_000, 'the end of the connection', 50);
    await decide('the-last');
    const hasLast = (): boolean =>
      stream.events.some(({ data }) => JSON.stringify(data).includes('the-last'));
    await until(hasLast, 5000, 'the last event');
    stream.close();
  });
});

describe('connections beyond the limit', () => {
  const limited = serviceOn(startEmbedded, { BRAIN_MAX_CONNECTIONS: '2' });

  it('are closed, and reported in the log', async () => {
    const { port: of } = limited.server.address() as AddressInfo;
    const first = [connect(of, '127.0.0.1'), connect(of, '127.0.0.1')];
    await Promise.all(first.map((socket) => once(socket, 'connect')));
    const third = connect(of, '127.0.0.1').on('error', () => undefined);
    await once(third, 'close');
    const lines = limited.logs.filter(({ msg }) => String(msg).includes('BRAIN_MAX_CONNECTIONS'));
    expect(lines).toEqual([expect.objectContaining({ level: 'warn' })]);
    for (const socket of first) socket.destroy();
  });
});

describe('the files of the explorer', () => {
  async function load(path: string, accepts: string): Promise<{ headers: object; body: Buffer }> {
    const request = httpGet({ port: port(), path, headers: { 'accept-encoding': accepts } });
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    const body = Buffer.concat((await answer.toArray()) as Buffer[]);
    return { headers: answer.headers, body };
  }

  it.each([BUNDLE, '/docs/swagger-ui.css', '/openapi.json'])(
    'are compressed for clients that accept it: %s',
    async (path) => {
      const plain = await load(path, 'br, identity, gzip;q=0');
      expect(plain.headers).not.toHaveProperty('content-encoding');
      const zipped = await load(path, 'br;q=1, gzip;q=0.5');
      expect(zipped.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' });
      expect(gunzipSync(zipped.body).equals(plain.body)).toBe(true);
      expect(zipped.body.length).toBeLessThan(plain.body.length / 2);
    },
  );

  it('are not there with BRAIN_DOCS=off, nor is the document', async () => {
    await withService(startEmbedded, { BRAIN_DOCS: 'off' }, async (closed) => {
      for (const path of ['/docs', '/docs/start.js', BUNDLE, '/openapi.json'])
        expectProblem(await closed.get(path), 404, 'no_such_route');
    });
  });
});
