/** A data file that may not grow: which requests are refused, which work, what is reported, and how the service ends. */
import { sleep } from '../src/shared/clock.js';
import { type ProcessAnswer, processesWith, type ServiceProcess } from './support/process.js';
import { allowWrites, refuseAllWrites, SMALL_DISKS, type SmallDisk } from './support/small-disk.js';
import { until } from './support/until.js';

const RECOVERY_MS = 10_000;
const LIMIT_MS = 60_000;
const start = processesWith({ BRAIN_LOG_REQUESTS: 'off', BRAIN_SHUTDOWN_GRACE_SECONDS: '3' });

const report = (source: string, bytes = 0): object => ({
  type: 'probe',
  source,
  severity: 'LOW',
  metadata: { filler: 'x'.repeat(bytes) },
});

/** Writes, eight at a time, until twenty in a row were refused. Returns every answer. */
async function fill(service: ServiceProcess, bytes: number): Promise<ProcessAnswer[]> {
  const answers: ProcessAnswer[] = [];
  const full = (): boolean => answers.length > 20 && answers.slice(-20).every(({ status }) => status !== 201);
  while (!full() && answers.length < 20_000) {
    const asked = Array.from({ length: 8 }, (_, i) => service.post('/api/threats', report(`s${i}`, bytes)));
    answers.push(...(await Promise.all(asked)));
  }
  expect(full()).toBe(true);
  return answers;
}

const codesOf = (answers: ProcessAnswer[]): unknown[] => [
  ...new Set(
    answers
      .filter(({ status }) => status !== 201)
      .map(({ status, body }) => `${status} ${String(body.code)}`),
  ),
];

const ready = async (service: ServiceProcess): Promise<boolean> =>
  (await service.get('/readyz')).status === 200;

const question = { agent_id: 'a', agent_role: 'admin', action: 'data.read' };

describe.each(SMALL_DISKS)('a data file that may not grow because of %s', (_name, makeDisk) => {
  let disk: SmallDisk;
  beforeEach(() => {
    disk = makeDisk();
  });
  afterEach(() => disk.remove());

  it(
    'causes storage_full for writes that need space; other requests work, and all work again with space',
    async () => {
      const service = await start({ BRAIN_DATA_DIR: disk.path });
      const made = await service.post('/api/keys', { name: 'spare', role: 'agent' });
      expect(made.status).toBe(201);
      disk.tighten(service);
      expect(codesOf(await fill(service, 20_000))).toEqual(['503 storage_full']);
      expect((await service.get('/api/threats?limit=1')).status).toBe(200);
      expect((await service.post('/api/policy/evaluate', question)).status).toBe(200);
      const removed = await service.delete(`/api/keys/${made.body.id as string}`);
      expect(removed.status).toBe(204);
      // The smallest report does not fit any more. The record of the process is smaller and may fit.
      expect(codesOf(await fill(service, 0))).toEqual(['503 storage_full']);
      await until(async () => !(await ready(service)), RECOVERY_MS, '/readyz saying no');
      expect((await service.get('/readyz')).body.code).toBe('storage_full');
      disk.loosen(service);
      const works = async (): Promise<boolean> =>
        (await service.post('/api/threats', report('again', 20_000))).status === 201;
      await until(works, RECOVERY_MS, 'a write after room was made');
      await until(() => ready(service), RECOVERY_MS, '/readyz saying yes again');
      expect(await service.stop()).toEqual({ code: 0, signal: null });
      const next = await start({ BRAIN_DATA_DIR: disk.path });
      expect((await next.get('/api/threats?limit=1')).status).toBe(200);
    },
    LIMIT_MS,
  );

  it(
    'reports the decisions that a process lost which was killed long after',
    async () => {
      const service = await start({ BRAIN_DATA_DIR: disk.path });
      disk.tighten(service);
      await fill(service, 20_000);
      await fill(service, 0);
      // Longer than a process is silent between two beats.
      await sleep(9000);
      const decided = await service.post('/api/policy/evaluate', question);
      expect(decided.status).toBe(200);
      const lost = Date.now() / 1000;
      // It is stopped first, so that it does not renew its record in the new room.
      service.kill('SIGSTOP');
      disk.loosen(service);
      await service.stop('SIGKILL');
      const next = await start({ BRAIN_DATA_DIR: disk.path });
      const gaps = async (): Promise<{ payload: { reason: string; from: number; to: number } }[]> => {
        const { body } = await next.get('/api/events?type=stream.gap');
        return (body.events ?? []) as { payload: { reason: string; from: number; to: number } }[];
      };
      const covered = async (): Promise<boolean> =>
        (await gaps()).some(({ payload: { from, to } }) => from <= lost && lost <= to);
      await until(covered, RECOVERY_MS, 'a gap that has the lost decision');
    },
    LIMIT_MS,
  );
});

describe.each([
  ['on', 'on'],
  ['off', 'off'],
])('a store that refuses every write, with events %s', (_, events) => {
  it(
    'makes the service not ready until a write works, even if no client writes',
    async () => {
      const service = await start({ BRAIN_EVENTS: events });
      refuseAllWrites(service);
      await until(async () => !(await ready(service)), RECOVERY_MS, '/readyz saying no');
      const { status, body } = await service.get('/readyz');
      expect([status, body.code]).toEqual([503, 'storage_full']);
      expect(body.detail).toMatch(/takes no writes \(storage_full\).*ulimit -f/);
      expect((await service.get('/api/threats/health')).body.code).toBe('storage_full');
      expect((await service.get('/livez')).status).toBe(200);
      expect((await service.get('/api/threats')).status).toBe(200);
      allowWrites(service);
      await until(() => ready(service), RECOVERY_MS, '/readyz saying yes again');
      expect((await service.post('/api/threats', report('again'))).status).toBe(201);
    },
    LIMIT_MS,
  );

  it(
    'does not delay a shutdown, and the next start finds everything that was answered',
    async () => {
      const service = await start({ BRAIN_EVENTS: events });
      const kept = await service.post('/api/threats', report('kept'));
      refuseAllWrites(service);
      const asked = Array.from({ length: 20 }, () => service.post('/api/policy/evaluate', question));
      expect((await Promise.all(asked)).map(({ status }) => status)).toEqual(asked.map(() => 200));
      expect((await service.post('/api/threats', report('refused'))).status).toBe(503);
      expect(await service.stop()).toEqual({ code: 0, signal: null });
      expect(service.output).not.toMatch(/closed database|invalid read txn/);
      // The engine reports what the system refuses to it, and may damage its memory then.
      expect(service.output).not.toMatch(/Write error/);
      const next = await start({ BRAIN_EVENTS: events });
      const { rows, ...found } = (await next.get('/api/threats?view=full')).body;
      expect([found.total, rows ?? found.threats]).toEqual([1, [kept.body]]);
    },
    LIMIT_MS,
  );
});
