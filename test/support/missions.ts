/** Missions as tests look at them, of a service in this process or in another. */
import type { LogEntry, Mission } from '../../src/missions/missions.dto.js';
import type { MissionStatus } from '../../src/missions/missions.lifecycle.js';
import { until } from './redis-server.js';

interface Reader {
  get(path: string): PromiseLike<{ status: number; body: unknown }>;
}

export async function readMission(service: Reader, id: string): Promise<Mission> {
  const { status, body } = await service.get(`/api/missions/${id}`);
  if (status !== 200)
    throw new Error(`GET of the mission ${id} was answered ${status}: ${JSON.stringify(body)}`);
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

/** Waits until it has this status; another end than that is told with all that is known of it. */
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
    throw new Error(`the mission is ${JSON.stringify(mission)}, and should be ${status}`);
  };
  await until(arrived, ms, `${status} of the mission ${id}`);
  return mission as Mission;
}

/** How a mission comes from its beginning to this status. */
export function pathTo(status: MissionStatus): MissionStatus[] {
  if (status === 'PENDING') return [];
  return status === 'RUNNING' || status === 'CANCELLED' ? [status] : ['RUNNING', status];
}
