/** How a process of the service ends: in order at the first signal, at once at the second. */
import type { Threat } from '../src/threats/threats.dto.js';
import { processesWith, type ServiceProcess } from './support/process.js';
import { type RawAnswer, RawConnection, requestBytes } from './support/raw-http.js';
import { ADMIN } from './support/service.js';
import { until } from './support/until.js';

const report = JSON.stringify({ type: 'prompt_injection', source: 'agent:researcher-7', severity: 'HIGH' });
const half = report.length / 2;
/** Generous, because the machine may be busy with other tests. */
const AT_ONCE_MS = 5000;

const start = processesWith({});
const open: RawConnection[] = [];

afterEach(() => {
  for (const connection of open.splice(0)) connection.close();
});

async function connect(service: ServiceProcess): Promise<RawConnection> {
  const connection = await RawConnection.to(service.port);
  open.push(connection);
  return connection;
}

/** A request that runs: its guard has passed, and half of its body is there. */
async function startReport(service: ServiceProcess): Promise<RawConnection> {
  const connection = await connect(service);
  const headers = [
    `Authorization: Bearer ${ADMIN}`,
    'Content-Type: application/json',
    `Content-Length: ${report.length}`,
    'Expect: 100-continue',
  ];
  connection.send(requestBytes('POST /api/threats', headers));
  expect((await connection.answer())?.status).toBe(100);
  connection.send(report.slice(0, half));
  return connection;
}

const refused = async (service: ServiceProcess): Promise<boolean> =>
  RawConnection.to(service.port).then(
    (connection) => {
      connection.close();
      return false;
    },
    () => true,
  );

async function gaps(service: ServiceProcess): Promise<number> {
  const { status, body } = await service.get('/api/events?type=stream.gap');
  expect(status).toBe(200);
  return (body.events as object[]).length;
}

describe('the first signal', () => {
  it('ends the service in order: not ready, no new connections, running requests finish, nothing is lost', async () => {
    const service = await start({ BRAIN_SHUTDOWN_DELAY_SECONDS: '1' });
    const running = await startReport(service);
    service.kill('SIGTERM');
    await until(async () => (await service.get('/readyz')).status === 503, AT_ONCE_MS, '/readyz saying no');
    expect((await service.get('/readyz')).body).toMatchObject({ code: 'draining' });
    // Whoever has not noticed yet is still served.
    expect((await service.get('/api/threats')).status).toBe(200);
    await until(() => refused(service), AT_ONCE_MS, 'the refusal of new connections');
    expect(service.running).toBe(true);
    running.send(report.slice(half));
    const answer = (await running.answer()) as RawAnswer;
    expect(answer.status).toBe(201);
    expect(await service.ended).toEqual({ code: 0, signal: null });
    const worries = service.logs.filter(({ level }) => level === 'error' || level === 'warn');
    expect(worries.filter(({ code }) => code !== 'draining')).toEqual([]);

    const next = await start();
    const { id } = answer.json() as unknown as Threat;
    const { reports, ...kept } = (await next.get(`/api/threats/${id}`)).body;
    expect([kept, reports]).toEqual([answer.json(), [expect.objectContaining({ occurrence: 1 })]]);
    const { body } = await next.get(`/api/events?subject=${id}`);
    expect(body.events).toEqual([expect.objectContaining({ type: 'threat.detected' })]);
    expect(await gaps(next)).toBe(0);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'is %s, and idle connections do not delay the end',
    async (signal) => {
      const service = await start();
      const used = await connect(service);
      used.send(requestBytes('GET /livez'));
      expect((await used.answer())?.status).toBe(200);
      // A browser opens connections that it may never use.
      await connect(service);
      const sentMs = Date.now();
      expect(await service.stop(signal)).toEqual({ code: 0, signal: null });
      expect(Date.now() - sentMs).toBeLessThan(AT_ONCE_MS);
    },
  );

  it('waits no longer than the grace time for a request that does not end', async () => {
    const service = await start({ BRAIN_SHUTDOWN_GRACE_SECONDS: '1' });
    const endless = await startReport(service);
    const sentMs = Date.now();
    expect(await service.stop('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(Date.now() - sentMs).toBeGreaterThan(900);
    expect(Date.now() - sentMs).toBeLessThan(1000 + AT_ONCE_MS);
    await endless.ended();
  });
});

describe('the second signal', () => {
  it('ends the service at once, and the next start reports an unclean stop', async () => {
    const service = await start();
    await startReport(service);
    service.kill('SIGTERM');
    await until(() => refused(service), AT_ONCE_MS, 'the refusal of new connections');
    const sentMs = Date.now();
    const { code } = await service.stop('SIGTERM');
    expect(code).toBe(1);
    expect(Date.now() - sentMs).toBeLessThan(AT_ONCE_MS);
    const next = await start();
    await until(async () => (await gaps(next)) === 1, AT_ONCE_MS, 'the gap');
  });
});
