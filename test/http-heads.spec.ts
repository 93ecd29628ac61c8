/** Requests that a proxy in front may read in another way, and what comes behind them on their connection. */
import { httpService, JSON_TYPE, KEY, report } from './support/http.js';
import { expectRawProblem } from './support/problem.js';
import { type RawAnswer, requestBytes } from './support/raw-http.js';

const { service, connect } = httpService();

const BODY = JSON.stringify(report);
const LENGTH = `Content-Length: ${BODY.length}`;
const UPGRADE = ['Connection: Upgrade', 'Upgrade: h2c'];
const BEHIND = requestBytes('POST /api/threats', [KEY, JSON_TYPE, LENGTH], BODY);

const countThreats = async (): Promise<number> =>
  ((await service.get('/api/threats').expect(200)).body as { total: number }).total;

/** Sends the bytes, and in further packets another request. Expects one answer, then the end. */
async function onlyAnswer(bytes: string | Buffer): Promise<RawAnswer> {
  const connection = await connect();
  connection.send(Buffer.concat([Buffer.from(bytes), BEHIND]));
  await new Promise(setImmediate);
  connection.send(BEHIND);
  const answer = (await connection.answer()) as RawAnswer;
  expect(answer.headers.connection).toBe('close');
  expect(await connection.answer()).toBeUndefined();
  await connection.ended();
  return answer;
}

describe('a request with an ambiguous head', () => {
  const chunks = '2\r\n{}\r\n0\r\n\r\n';
  const post = (...headers: string[]): string =>
    `POST /api/threats HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`;

  it.each([
    ['two Host headers', 'GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['the same Host twice', 'GET /livez HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n'],
    ['two Authorization headers', requestBytes('GET /api/threats', [KEY, 'AUTHORIZATION: Bearer x'])],
    [
      'a second Authorization header behind many others',
      requestBytes('GET /api/threats', [KEY, ...Array<string>(2500).fill('a:'), KEY]),
    ],
    ['Transfer-Encoding in HTTP/1.0', `POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`],
    ['another coding before chunked', post('Host: x', KEY, 'Transfer-Encoding: gzip, chunked') + chunks],
    ['chunked twice', post('Host: x', KEY, 'Transfer-Encoding: chunked, chunked') + chunks],
    ['no Host', 'GET /livez HTTP/1.1\r\n\r\n'],
  ])('gets 400, and nothing behind it is read: %s', async (_what, bytes) => {
    const before = await countThreats();
    expectRawProblem(await onlyAnswer(bytes), 400, 'malformed_request');
    expect(await countThreats()).toBe(before);
  });
});

describe('a request to upgrade', () => {
  it('is answered in HTTP/1.1, and nothing behind it is read', async () => {
    const before = await countThreats();
    const answer = await onlyAnswer(requestBytes('GET /api/threats', [KEY, ...UPGRADE]));
    expect([answer.status, answer.headers.upgrade]).toEqual([200, undefined]);
    expect(await countThreats()).toBe(before);
  });

  it('may have a body, as clients send it that prefer HTTP/2', async () => {
    const before = await countThreats();
    const request = requestBytes('POST /api/threats', [KEY, JSON_TYPE, LENGTH, ...UPGRADE], BODY);
    expect((await onlyAnswer(request)).status).toBe(201);
    expect(await countThreats()).toBe(before + 1);
  });

  it('is answered also if rubbish comes behind it', async () => {
    const connection = await connect();
    connection.send(requestBytes('GET /api/threats', [KEY, ...UPGRADE]));
    connection.send('rubbish\r\n\r\n');
    expect((await connection.answer())?.status).toBe(200);
    await connection.ended();
  });
});
