import { Listed, PageQueryOf } from '../http/listed.js';
import { NextCursor, Total } from '../http/request.js';
import {
  Described,
  JsonObject,
  JsonValue,
  ListIn,
  ListOf,
  Nested,
  Num,
  OneOf,
  Text,
} from '../shared/fields.js';
import { type MissionPriority, type MissionStatus, PRIORITIES, STATUSES } from './missions.lifecycle.js';
import { Step } from './steps/step.dto.js';

const MAX_TEXT = 4096;
/** An id must not equal a path of the API, and must not be changed by URL normalization. */
const ID = /^(?!health$)[A-Za-z0-9_][A-Za-z0-9_.:-]*$/;
const ID_HINT = 'letters, digits and _ . : -, starting with a letter, a digit or _; `health` is reserved';

const Status = (description: string, optional = false): PropertyDecorator =>
  OneOf(STATUSES, { name: 'MissionStatus', description, example: 'PENDING', optional });
const Priority = (options: { optional?: boolean; default?: string } = {}): PropertyDecorator =>
  OneOf(PRIORITIES, {
    name: 'MissionPriority',
    description:
      'Due missions of a higher priority run first; CRITICAL needs the permission missions:prioritize',
    example: 'NORMAL',
    ...options,
  });
export const Time = (description: string, nullable = false): PropertyDecorator =>
  Num({
    nullable,
    description: `${description}, in Unix seconds${nullable ? '; null if it has not' : ''}`,
    example: nullable ? null : 1735424567.89,
  });

const NAME_TEXT = 'What the mission is for, in a few words';
const DESCRIPTION = 'What the mission is for, in detail';
const DATA = 'Values that templates in the steps can use';

@Described('How far a mission is')
export class Progress {
  @Num({ integer: true, min: 0, description: 'The number of steps that have ended', example: 1 })
  done!: number;

  @Num({ integer: true, min: 0, description: 'The number of all steps', example: 3 })
  total!: number;
}

@Described('Why a mission failed')
export class MissionError {
  @Text({ max: 64, description: 'Stable, for programs', example: 'denied_by_policy' })
  code!: string;

  @Text({
    max: MAX_TEXT,
    description: 'What went wrong, for people',
    example: "Denied by rule 'No calls to strangers'",
  })
  message!: string;

  @Text({
    max: 64,
    nullable: true,
    description: 'The name of the step that failed; null if no step did',
    example: 'notify',
  })
  step!: string | null;

  @Text({
    max: 64,
    optional: true,
    description: 'The decision that denied the step, if the policies did',
    example: 'k3v9x2abq8w1z4m7p0t5',
  })
  decision_id?: string;
}

@Described('A list of steps that the service runs one after another, and its state')
export class Mission {
  @Text({
    max: 128,
    description: 'The id that the creator chose, or else a UUID',
    example: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11',
  })
  id!: string;

  @Text({ max: 256, description: NAME_TEXT, example: 'Inform the owner of the page' })
  name!: string;

  @Text({
    max: MAX_TEXT,
    nullable: true,
    description: `${DESCRIPTION}; null if there is none`,
    example: null,
  })
  description!: string | null;

  @JsonObject({ description: DATA, example: { ticket: 'SEC-17' } })
  data!: Record<string, unknown>;

  @ListOf(() => Step, { description: 'The steps, in the order in which they run' })
  steps!: Step[];

  @Priority()
  priority!: MissionPriority;

  @Status('Where the mission is in its life cycle')
  status!: MissionStatus;

  @Nested(() => Progress, { description: 'How many steps have ended' })
  progress!: Progress;

  @Num({
    integer: true,
    min: 0,
    description: 'How often the mission was started: once, and once more per retry',
    example: 1,
  })
  attempts!: number;

  @Nested(() => MissionError, {
    nullable: true,
    description: 'Why the mission failed; null if it has not',
    example: null,
  })
  error!: MissionError | null;

  @JsonValue({
    nullable: true,
    description:
      'For a completed mission: the result of each step, and the decision that allowed the step; null for other missions',
    example: null,
  })
  result!: unknown;

  @Text({ max: 256, description: 'The id of the principal that created the mission', example: 'bootstrap' })
  created_by!: string;

  @Text({ max: 256, description: 'The agent that the policies decide about', example: 'researcher-7' })
  agent_id!: string;

  @Text({ max: 256, description: 'The role of that agent', example: 'researcher' })
  agent_role!: string;

  @Time('When the mission was created')
  created_at!: number;

  @Time('When the mission was last changed')
  updated_at!: number;

  @Time('When the current attempt started', true)
  started_at!: number | null;

  @Time('When the mission ended', true)
  finished_at!: number | null;

  @Num({
    integer: true,
    min: 1,
    description: 'Grows by one with each change; the ETag of the mission',
    example: 1,
  })
  version!: number;
}

@Described('A mission in a list')
export class ListedMission extends Listed(Mission, 'data', 'steps', 'result') {}

@Described('A mission to create')
export class NewMission {
  @Text({ max: 256, description: NAME_TEXT, example: 'Inform the owner of the page' })
  name!: string;

  @Text({
    max: MAX_TEXT,
    optional: true,
    nullable: true,
    description: DESCRIPTION,
    example: 'The page asks agents to reveal their keys',
  })
  description?: string | null;

  @JsonObject({ optional: true, description: DATA, example: { ticket: 'SEC-17' } })
  data?: Record<string, unknown>;

  @ListIn(() => Step, {
    optional: true,
    description:
      'The steps, which run one after another; a mission without steps starts and completes at once when it is executed',
  })
  steps?: Step[];

  @Priority({ optional: true, default: 'NORMAL' })
  priority?: MissionPriority;

  @Text({
    max: 128,
    pattern: ID,
    patternHint: ID_HINT,
    optional: true,
    description:
      'The id of the new mission; an id that exists already is refused with 409; by default a UUID',
    example: 'inform-owner-SEC-17',
  })
  id?: string;

  @Text({
    max: 256,
    optional: true,
    description:
      'The agent that the policies decide about; the key must list it; by default the first exact entry of its list',
    example: 'researcher-7',
  })
  agent_id?: string;

  @Text({
    max: 256,
    optional: true,
    description: 'The role of that agent; the key must list it; by default the first exact entry of its list',
    example: 'researcher',
  })
  agent_role?: string;
}

@Described('A new status of a mission')
export class ChangeMissionStatus {
  @Status('The new status; required here or as `?mission_status=`', true)
  status?: MissionStatus;

  @Text({
    max: 1024,
    optional: true,
    nullable: true,
    description: 'Why it changes; the event and the log carry it',
    example: 'The program has started',
  })
  reason?: string | null;
}

export class MissionStatusQuery {
  @Status('The new status, as an alternative to `status` in the body', true)
  mission_status?: MissionStatus;
}

export class MissionQuery extends PageQueryOf(ListedMission) {
  @Status('Only missions with this status', true)
  status?: MissionStatus;

  @Text({ max: 256, optional: true, description: 'Only missions that this principal created' })
  created_by?: string;

  @Text({ max: 256, optional: true, description: 'Only missions that run as this agent' })
  agent_id?: string;
}

@Described('One page of missions')
export class MissionPage {
  @ListOf(() => ListedMission, { description: 'The missions of this page, the newest first' })
  missions!: ListedMission[];

  @Total()
  total!: number | null;

  @NextCursor()
  next_cursor!: string | null;
}

@Described('The request was accepted')
export class Accepted {
  @OneOf(['accepted'] as const, {
    name: 'Acceptance',
    description: 'Always `accepted`',
    example: 'accepted',
  })
  status!: 'accepted';
}
