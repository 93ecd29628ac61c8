/** A service on the embedded store for the tests of HTTP itself, which need its port, its log and raw bytes. */
import type { AddressInfo } from 'node:net';
import type { Threat } from '../../src/threats/threats.dto.js';
import { type RawAnswer, RawConnection } from './raw-http.js';
import { ADMIN, type Service } from './service.js';
import { serviceOn, startEmbedded } from './stores.js';
import { until } from './until.js';

/** A good body of a threat. */
export const report = { type: 'prompt_injection', source: 'agent:researcher-7', severity: 'HIGH' };
export const KEY = `Authorization: Bearer ${ADMIN}`;
export const JSON_TYPE = 'Content-Type: application/json';

type LogLine = Record<string, unknown>;

export function httpService() {
  const service: Service = serviceOn(startEmbedded, { BRAIN_LOG_LEVEL: 'debug' });
  afterEach(() => jest.restoreAllMocks());

  const connect = (): Promise<RawConnection> =>
    RawConnection.to((service.server.address() as AddressInfo).port);
  /** Sends bytes on a connection of its own and returns the first answer. */
  const raw = async (...bytes: (string | Buffer)[]): Promise<RawAnswer> => {
    const connection = await connect();
    for (const part of bytes) connection.send(part);
    const answer = await connection.answer();
    connection.close();
    if (!answer) throw new Error('The connection ended without an answer');
    return answer;
  };
  const make = async (): Promise<Threat> =>
    (await service.post('/api/threats', report).expect(201)).body as Threat;
  /** The first line of the log for which this holds. It may be written a moment after the answer was read. */
  const logged = async (holds: (line: LogLine) => boolean): Promise<LogLine> => {
    await until(() => service.logs.some(holds), 5000, 'the line of the log', 10);
    return service.logs.find(holds) as LogLine;
  };
  return { service, connect, raw, make, logged };
}
