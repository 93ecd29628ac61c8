/** How tests create, run and read missions of a service in this process or in another. */
import type { Envelope } from '../../src/events/event.js';
import type { LogEntry } from '../../src/missions/log.dto.js';
import type { Mission } from '../../src/missions/missions.dto.js';
import { type MissionStatus, STATUSES } from '../../src/missions/missions.lifecycle.js';
import type { Service } from './service.js';
import { type StartStore, serviceOn } from './stores.js';
import { Target } from './target.js';
import { until } from './until.js';

/** Steps may call the targets of this machine. */
export const PRIVATE = { BRAIN_HTTP_ALLOW_PRIVATE: 'true' };
/** Long enough for a busy machine. */
export const SOON_MS = 15_000;

export const templateOf = (path: string): string => `\${${path}}`;

interface Reader {
  get(path: string): PromiseLike<{ status: number; body: unknown }>;
}

export async function readMission(service: Reader, id: string): Promise<Mission> {
  const { status, body } = await service.get(`/api/missions/${id}`);
  if (status !== 200) throw new Error(`GET of the mission ${id} returned ${status}: ${JSON.stringify(body)}`);
  return body as Mission;
}

export async function logOf(service: Reader, id: string): Promise<LogEntry[]> {
  const log: LogEntry[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const { body } = await service.get(`/api/missions/${id}/log?limit=500${cursor && `&cursor=${cursor}`}`);
    const page = body as { log: LogEntry[]; next_cursor: string | null };
    log.push(...page.log);
    cursor = page.next_cursor;
  }
  return log;
}

/** Waits until the mission has this status. Throws if it ends with another one. */
export async function hasStatus(
  service: Reader,
  id: string,
  status: MissionStatus,
  ms: number,
): Promise<Mission> {
  let mission: Mission | undefined;
  const arrived = async (): Promise<boolean> => {
    mission = await readMission(service, id);
    if (mission.finished_at === null || mission.status === status) return mission.status === status;
    throw new Error(`the mission should be ${status}, and is ${JSON.stringify(mission)}`);
  };
  await until(arrived, ms, `${status} of the mission ${id}`);
  return mission as Mission;
}

/** The moves from PENDING to this status. */
export function pathTo(status: MissionStatus): MissionStatus[] {
  if (status === 'PENDING') return [];
  return status === 'RUNNING' || status === 'CANCELLED' ? [status] : ['RUNNING', status];
}

/** A service for the tests of this block, a target that its steps call, and the requests to both. */
export function missionsOn(startStore: StartStore, env: Record<string, string> = {}) {
  const service = serviceOn(startStore, { ...PRIVATE, ...env });
  const target = new Target();
  beforeAll(() => target.listen());
  afterAll(() => target.stop());
  const make = async (over: object = {}, key?: string): Promise<Mission> => {
    const answer = await service.post('/api/missions', { name: 'A mission', ...over }, key);
    expect([answer.body, answer.status]).toEqual([answer.body, 201]);
    return answer.body as Mission;
  };
  const move = (id: string, status: string, more: object = {}, key?: string) =>
    service.post(`/api/missions/${id}/status`, { status, ...more }, key);
  const execute = (id: string, key?: string) => service.post(`/api/missions/${id}/execute`, undefined, key);
  const run = async (over: object, status: MissionStatus = 'COMPLETED'): Promise<Mission> => {
    const { id } = await make(over);
    await execute(id).expect(202);
    return hasStatus(service, id, status, SOON_MS);
  };
  const messagesOf = async (id: string): Promise<string[]> =>
    (await logOf(service, id)).map(({ message }) => message);
  const eventsOf = (id: string): Promise<(Envelope & { position: string })[]> =>
    service.events({ subject: id });
  let keys = 0;
  const keyOf = async (
    role: string,
    lists: object = {},
  ): Promise<{ id: string; name: string; key: string }> => {
    keys += 1;
    return (await service.post('/api/keys', { name: `${role}-${keys}`, role, ...lists }).expect(201)).body;
  };
  const http = (path: string, over: object = {}, params: object = {}): object => ({
    name: 'call',
    kind: 'http',
    retry: { backoff_seconds: 0 },
    params: { url: target.url + path, ...params },
    ...over,
  });
  return { service, target, make, move, execute, run, messagesOf, eventsOf, keyOf, http };
}

/** Counts all missions again over HTTP and compares the result with the overview. */
export async function expectTrueStats(service: Service): Promise<void> {
  const all: Mission[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const page = await service.get(`/api/missions?limit=500${cursor && `&cursor=${cursor}`}`).expect(200);
    all.push(...(page.body.missions as Mission[]));
    cursor = page.body.next_cursor as string | null;
  }
  expect(all.length).toBeGreaterThan(0);
  const { stats } = (await service.get('/api/missions/stats/overview').expect(200)).body;
  expect(stats).toEqual({
    total: all.length,
    by_status: Object.fromEntries(
      STATUSES.map((status) => [status, all.filter((mission) => mission.status === status).length]),
    ),
    last_updated: expect.any(Number),
  });
}
