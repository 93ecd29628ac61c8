/**
 * Thousands of malformed requests to every documented route. None of them causes an error of the service, changes a shared
 * prototype, or makes memory grow. `FUZZ_SEED=… FAULTS=long` repeats a run.
 */
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { OpenAPIObject } from '@nestjs/swagger';
import { sleep } from '../src/shared/clock.js';
import type { Threat, ThreatWithReports } from '../src/threats/threats.dto.js';
import { LONG } from './support/effort.js';
import { type FuzzRequest, fuzzed, operationsOf, pairsOf } from './support/fuzz.js';
import { type RawAnswer, RawConnection } from './support/raw-http.js';
import { ADMIN } from './support/service.js';
import { STORES, serviceOn } from './support/stores.js';

const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const REQUESTS = LONG ? 10_000 : 800;
const LANES = 8;
/** A client that sends half a request waits this long for an answer, which may not come. */
const UNFINISHED_MS = 300;
/** Caches grow up to their limits. What grows with every request exceeds this. */
const MAX_GROWTH_BYTES = 24 * 1024 * 1024;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** The prototypes that all objects share, of these tests and of the modules of Node. */
const SHARED = [
  Object.prototype,
  Array.prototype,
  Function.prototype,
  String.prototype,
  Promise.prototype,
].concat(Object.getPrototypeOf(process.memoryUsage()) as object) as object[];
const shape = (): string[][] => SHARED.map((one) => Reflect.ownKeys(one).map(String));

interface Sent {
  request: FuzzRequest;
  answer: RawAnswer | undefined;
}

describe.each(STORES)('malformed requests on %s', (name, startStore) => {
  const service = serviceOn(startStore, { BRAIN_LOG_LEVEL: 'warn' });
  const statuses = new Map<number, number>();
  const met = new Set<string>();
  const wrong: string[] = [];

  beforeAll(() => {
    process.stderr.write(`fuzzing ${name}: FUZZ_SEED=${SEED}\n`);
  });

  const used = (): number => {
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };

  /** Why this answer must not be; nothing where it is as it should be. */
  function faultIn({ request, answer }: Sent): string | undefined {
    if (!answer) return request.unfinished ? undefined : 'no answer';
    if (!(answer.status >= 200 && answer.status < 500))
      return `status ${answer.status}: ${answer.body.slice(0, 300)}`;
    const id = answer.headers['x-request-id'];
    if (id === undefined || !/^[\x20-\x7e]{1,128}$/.test(id)) return `the request id ${id}`;
    if (answer.status < 400 || request.head) return undefined;
    if (answer.headers['content-type'] !== 'application/problem+json; charset=utf-8')
      return `the type ${answer.headers['content-type']}`;
    const { type, title, status, detail, code, request_id } = answer.json();
    const whole = [type, title, detail, code].every((one) => typeof one === 'string' && one !== '');
    return whole && status === answer.status && request_id === id ? undefined : `the problem ${answer.body}`;
  }

  /** Too little time for Redis, or too many imports under way already. */
  const isBusy = ({ answer }: Sent): boolean =>
    (answer?.status === 503 && /"code":"store_timeout"/.test(answer.body)) ||
    (answer?.status === 429 && /"code":"busy"/.test(answer.body));

  async function send(request: FuzzRequest, port: number): Promise<Sent> {
    const connection = await RawConnection.to(port);
    connection.send(request.bytes);
    try {
      let answer = await connection.answer(request.unfinished ? UNFINISHED_MS : undefined, request.head);
      if (answer?.status === 100) answer = await connection.answer(undefined, request.head);
      return { request, answer };
    } catch (error) {
      if (request.unfinished) return { request, answer: undefined };
      throw new Error(`request ${request.number}: ${String(error)}`);
    } finally {
      connection.close();
    }
  }

  it(
    'are all answered, and none with an error of the service',
    async () => {
      const { port } = service.server.address() as AddressInfo;
      const document = (await service.get('/openapi.json')).body as OpenAPIObject;
      const pairs = pairsOf(operationsOf(document));
      const made = await service
        .post('/api/threats', { type: 't', source: 's', severity: 'LOW' })
        .expect(201);
      const ids = [
        (made.body as Threat).id,
        (made.body as Threat).id,
        '00000000-0000-4000-8000-000000000000',
      ];
      const before = shape();
      let next = 0;
      let warm: number | undefined;
      const lane = async (): Promise<void> => {
        while (next < REQUESTS) {
          const number = next++;
          // By then whatever is compiled, cached and pooled is there.
          if (number === REQUESTS >> 1) warm = used();
          const request = fuzzed(SEED, number, pairs, ADMIN, ids);
          let sent = await send(request, port);
          // A busy service makes an honest 503; what the request itself causes, it causes again.
          for (let again = 0; again < 10 && isBusy(sent); again += 1) {
            await sleep(500);
            sent = await send(request, port);
          }
          const fault = faultIn(sent);
          statuses.set(sent.answer?.status ?? 0, (statuses.get(sent.answer?.status ?? 0) ?? 0) + 1);
          met.add(`${sent.request.operation} ${sent.request.flaws[0]}`);
          if (fault === undefined || wrong.length >= 20) continue;
          const start = JSON.stringify(sent.request.bytes.toString('latin1').slice(0, 300));
          wrong.push(
            `seed ${SEED}, request ${number} (${sent.request.flaws.join(', ')}): ${fault}\n  ${start}`,
          );
        }
      };
      await Promise.all(Array.from({ length: LANES }, lane));
      expect(wrong).toEqual([]);
      expect(shape()).toEqual(before);
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
      expect(used() - (warm as number)).toBeLessThan(MAX_GROWTH_BYTES);
      // Every operation has met every flaw, and the answers were of many kinds: the requests came through.
      expect(pairs.length).toBeGreaterThan(150);
      expect(met.size).toBe(Math.min(REQUESTS, pairs.length));
      for (const status of [200, 201, 400, 401, 404, 413, 415, 422, 431])
        expect([status, (statuses.get(status) ?? 0) > 0]).toEqual([status, true]);
    },
    LONG ? 600_000 : 60_000,
  );

  it('cause no line about an error in the log', () => {
    expect(service.logs.filter(({ level, stack }) => level === 'error' && stack !== undefined)).toEqual([]);
  });

  it('leave the service working', async () => {
    const report = { type: 'after', source: 'fuzz', severity: 'LOW', metadata: { constructor: { a: 1 } } };
    const made = await service.post('/api/threats', report).expect(201);
    const read = await service.get(`/api/threats/${(made.body as Threat).id}`).expect(200);
    const { reports, ...threat } = read.body as ThreatWithReports;
    expect(threat).toEqual(made.body);
    expect(threat).toMatchObject(report);
    expect(reports).toMatchObject([{ occurrence: 1, metadata: report.metadata }]);
    await service.get('/readyz').expect(200);
  });
});
