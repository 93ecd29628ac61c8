import { NextCursor, PageQuery, Total } from '../http/request.js';
import { Flag, JsonObject, JsonValue, ListIn, ListOf, Nested, Num, OneOf, Text } from '../shared/fields.js';
import { type MissionPriority, type MissionStatus, PRIORITIES, STATUSES } from './missions.lifecycle.js';

const MAX_TEXT = 4096;
/** No path of the API, and nothing that a path swallows. */
const ID = /^(?!health$)[A-Za-z0-9_][A-Za-z0-9_.:-]*$/;
const ID_HINT = 'letters, digits and _ . : -, the first a letter, a digit or _, and not `health`';
const NAME = /^[A-Za-z0-9_-]+$/;
const NAME_HINT = 'letters, digits, _ and -';

const Status = (options: { optional?: boolean; description?: string } = {}): PropertyDecorator =>
  OneOf(STATUSES, { name: 'MissionStatus', example: 'PENDING', ...options });
const Priority = (options: { optional?: boolean; default?: string } = {}): PropertyDecorator =>
  OneOf(PRIORITIES, { name: 'MissionPriority', example: 'NORMAL', ...options });

export const LOG_LEVELS = ['debug', 'info', 'warning', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export class StepRetry {
  @Num({ integer: true, min: 1, max: 20, optional: true, default: 3, description: 'Attempts in all' })
  attempts?: number;

  @Num({
    min: 0,
    max: 3600,
    optional: true,
    default: 1,
    description: 'Before the second attempt; doubles with each',
  })
  backoff_seconds?: number;

  @Num({ min: 0, max: 86_400, optional: true, default: 300, description: 'No pause is longer' })
  max_seconds?: number;
}

export class Step {
  @Text({
    max: 64,
    pattern: NAME,
    patternHint: NAME_HINT,
    description: 'Unique in its mission',
    example: 'notify',
  })
  name!: string;

  @Text({ max: 64, description: '`http`, `wait` or `immune_event`', example: 'http' })
  kind!: string;

  @Text({
    max: 256,
    optional: true,
    description: 'What the policies are asked about; `mission.step.<kind>` where it is left out',
    example: 'webhook.call',
  })
  action?: string;

  @Text({
    max: 1024,
    optional: true,
    description: 'On what; also for the policies',
    example: 'https://example.org',
  })
  resource?: string;

  @JsonObject({
    optional: true,
    description:
      // biome-ignore lint/suspicious/noTemplateCurlyInString: such templates are what it tells of.
      'What the kind needs. `${data.<path>}` and `${steps.<name>.result.<path>}` stand for values of the mission and of earlier steps',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: likewise.
    example: { method: 'POST', url: 'https://example.org/hook', body: { mission: '${data.ticket}' } },
  })
  params?: Record<string, unknown>;

  @Num({ min: 0.1, max: 3600, optional: true, default: 60, description: 'One attempt may take so long' })
  timeout_seconds?: number;

  @Nested(() => StepRetry, { optional: true })
  retry?: StepRetry;

  @Flag({
    optional: true,
    default: false,
    description: 'Go on with the next step although this one failed; a denial ends the mission all the same',
  })
  continue_on_failure?: boolean;
}

export class Progress {
  @Num({ integer: true, min: 0, description: 'Steps that have ended', example: 1 })
  done!: number;

  @Num({ integer: true, min: 0, example: 3 })
  total!: number;
}

export class MissionError {
  @Text({ max: 64, example: 'denied_by_policy' })
  code!: string;

  @Text({ max: MAX_TEXT, example: "Denied by rule 'No calls to strangers'" })
  message!: string;

  @Text({ max: 64, nullable: true, description: 'The step that failed', example: 'notify' })
  step!: string | null;

  @Text({ max: 64, optional: true, description: 'Of the denial', example: 'k3v9x2abq8w1z4m7p0t5' })
  decision_id?: string;
}

export class Mission {
  @Text({
    max: 128,
    description: 'A UUID, or as it was given',
    example: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11',
  })
  id!: string;

  @Text({ max: 256, example: 'Tell the owner of the page' })
  name!: string;

  @Text({ max: MAX_TEXT, nullable: true, example: null })
  description!: string | null;

  @JsonObject({ description: 'What the steps work with', example: { ticket: 'SEC-17' } })
  data!: Record<string, unknown>;

  @ListOf(() => Step)
  steps!: Step[];

  @Priority()
  priority!: MissionPriority;

  @Status()
  status!: MissionStatus;

  @Nested(() => Progress)
  progress!: Progress;

  @Num({ integer: true, min: 0, description: 'How often it was begun', example: 1 })
  attempts!: number;

  @Nested(() => MissionError, { nullable: true, description: 'Why it failed', example: null })
  error!: MissionError | null;

  @JsonValue({
    nullable: true,
    description: 'Of a completed mission: by step its result and the decision that allowed it',
    example: null,
  })
  result!: unknown;

  @Text({ max: 256, example: 'bootstrap' })
  created_by!: string;

  @Text({ max: 256, description: 'As whom it asks the policies', example: 'researcher-7' })
  agent_id!: string;

  @Text({ max: 256, example: 'researcher' })
  agent_role!: string;

  @Num({ example: 1735424567.89 })
  created_at!: number;

  @Num({ example: 1735424567.89 })
  updated_at!: number;

  @Num({ nullable: true, example: null })
  started_at!: number | null;

  @Num({ nullable: true, example: null })
  finished_at!: number | null;

  @Num({ integer: true, min: 1, description: 'Grows with each change; the ETag', example: 1 })
  version!: number;
}

export class NewMission {
  @Text({ max: 256, example: 'Tell the owner of the page' })
  name!: string;

  @Text({ max: MAX_TEXT, optional: true, nullable: true, example: 'It tells agents to reveal their keys' })
  description?: string | null;

  @JsonObject({ optional: true, example: { ticket: 'SEC-17' } })
  data?: Record<string, unknown>;

  @ListIn(() => Step, {
    optional: true,
    description: 'Run one after another; without any it only starts and ends',
  })
  steps?: Step[];

  @Priority({ optional: true, default: 'NORMAL' })
  priority?: MissionPriority;

  @Text({
    max: 128,
    pattern: ID,
    patternHint: ID_HINT,
    optional: true,
    description: 'One that exists is a 409',
    example: 'tell-owner-SEC-17',
  })
  id?: string;

  @Text({
    max: 256,
    optional: true,
    description: 'Who asks where it is left out; another needs `missions:delegate`',
    example: 'researcher-7',
  })
  agent_id?: string;

  @Text({
    max: 256,
    optional: true,
    description: 'The role of who asks where it is left out; likewise',
    example: 'researcher',
  })
  agent_role?: string;
}

export class ChangeMissionStatus {
  @Status({ optional: true, description: 'Required here or as `?mission_status=`' })
  status?: MissionStatus;

  @Text({ max: 1024, optional: true, nullable: true, example: 'The worker has begun' })
  reason?: string | null;
}

export class MissionStatusQuery {
  @Status({ optional: true, description: 'The same as `status` in the body' })
  mission_status?: MissionStatus;
}

export class MissionQuery extends PageQuery {
  @Status({ optional: true })
  status?: MissionStatus;

  @Text({ max: 256, optional: true })
  created_by?: string;

  @Text({ max: 256, optional: true })
  agent_id?: string;
}

export class MissionPage {
  @ListOf(() => Mission)
  missions!: Mission[];

  @Total()
  total!: number | null;

  @NextCursor()
  next_cursor!: string | null;
}

export class LogEntry {
  @Num({ example: 1735424567.89 })
  timestamp!: number;

  @OneOf(LOG_LEVELS, { name: 'LogLevel', example: 'info' })
  level!: LogLevel;

  @Text({ max: MAX_TEXT, example: 'Mission created' })
  message!: string;

  @JsonObject({ example: {} })
  data!: Record<string, unknown>;
}

export class NewLogEntry {
  @Num({
    optional: true,
    min: 0,
    description: 'When it happened; now where it is left out',
    example: 1735424567.89,
  })
  timestamp?: number;

  @OneOf(LOG_LEVELS, { name: 'LogLevel', optional: true, default: 'info' })
  level?: LogLevel;

  @Text({ max: MAX_TEXT, example: 'The owner has answered' })
  message!: string;

  @JsonObject({ optional: true, example: { attempt: 2 } })
  data?: Record<string, unknown>;
}

export class MissionLog {
  @Text({ max: 128, example: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11' })
  mission_id!: string;

  @ListOf(() => LogEntry, { description: 'Oldest first' })
  log!: LogEntry[];

  @NextCursor()
  next_cursor!: string | null;
}

export class Accepted {
  @OneOf(['accepted'] as const, { name: 'Acceptance', example: 'accepted' })
  status!: 'accepted';
}

const Count = (): PropertyDecorator => Num({ integer: true, min: 0, example: 0 });

class MissionsByStatus {
  @Count()
  PENDING!: number;

  @Count()
  RUNNING!: number;

  @Count()
  COMPLETED!: number;

  @Count()
  FAILED!: number;

  @Count()
  CANCELLED!: number;
}

export class MissionStats {
  @Count()
  total!: number;

  @Nested(() => MissionsByStatus)
  by_status!: Record<MissionStatus, number>;

  @Num({ example: 1735424567.89 })
  last_updated!: number;
}

export class MissionOverview {
  @Nested(() => MissionStats)
  stats!: MissionStats;
}
