/** Who may read and change which missions, and what they see of them. */
import { MASKED } from '../shared/mask.js';
import type { LogEntry } from './log.dto.js';
import type { Mission } from './missions.dto.js';
import { notYours } from './missions.errors.js';
import type { Step } from './steps/step.dto.js';

/** The caller of a request. */
export interface Caller {
  /** The id of the principal. */
  id: string;
  role: string;
  /** Whether it may execute, retry and report on the missions of others. */
  mayDelegate: boolean;
  mayReadAll: boolean;
  /** Whether it may make missions of the highest priority. */
  mayPrioritize: boolean;
  /** Whether it sees headers, bodies, data and results in the missions of others. */
  seesSecrets: boolean;
  /** Whether its key lists this agent. */
  speaksFor(agentId: string): boolean;
}

type Owned = Pick<Mission, 'created_by' | 'agent_id'>;

/** Whether the caller made the mission, or the mission names one of its agents. */
function owns(caller: Caller, { created_by, agent_id }: Owned): boolean {
  return created_by === caller.id || caller.speaksFor(agent_id);
}

export function expectChangeable(caller: Caller, mission: Owned): void {
  if (!caller.mayDelegate && !owns(caller, mission)) throw notYours();
}

export function expectReadable(caller: Caller, mission: Owned): void {
  if (!caller.mayReadAll && !owns(caller, mission)) throw notYours();
}

interface Filter {
  created_by?: string;
  agent_id?: string;
}

/** A caller who may not read all missions lists those that it made, or those of one of its agents. */
export function readable(caller: Caller, filter: Filter): Filter {
  const { created_by = caller.id, agent_id } = filter;
  if (caller.mayReadAll) return filter;
  if (agent_id !== undefined && caller.speaksFor(agent_id)) return filter;
  if (created_by !== caller.id) throw notYours();
  return { created_by, agent_id };
}

/** The mission as the caller may see it. */
export function missionFor(caller: Caller, mission: Mission): Mission {
  if (seesAll(caller, mission)) return mission;
  const { data, steps, result } = mission;
  return { ...mission, data: hidden(data), steps: steps.map(withoutSecrets), result: withoutResults(result) };
}

/** A line of the log of a mission as the caller may see it. */
export function logFor(caller: Caller, mission: Owned, log: LogEntry[]): LogEntry[] {
  return seesAll(caller, mission) ? log : log.map((entry) => ({ ...entry, data: hidden(entry.data) }));
}

function seesAll(caller: Caller, mission: Owned): boolean {
  return caller.seesSecrets || owns(caller, mission);
}

/** The names stay: they say what there is. */
function hidden(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.keys(values).map((name) => [name, MASKED]));
}

/** The parts of the parameters of a step in which people put secrets. */
function withoutSecrets(step: Step): Step {
  if (!step.params) return step;
  const params = { ...step.params };
  if (isObject(params.headers)) params.headers = hidden(params.headers);
  else if (params.headers !== undefined) params.headers = MASKED;
  if (params.body !== undefined) params.body = MASKED;
  if (typeof params.url === 'string') params.url = params.url.replace(/\?.*/s, `?${MASKED}`);
  return { ...step, params };
}

/** Keeps how each step ended, and which decision allowed it. */
function withoutResults(outcomes: unknown): unknown {
  if (!isObject(outcomes)) return outcomes;
  const entries = Object.entries(outcomes).map(([step, outcome]) => [
    step,
    isObject(outcome) ? { ...outcome, result: MASKED } : MASKED,
  ]);
  return Object.fromEntries(entries) as unknown;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
