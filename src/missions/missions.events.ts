import { defineEvent } from '../events/event.js';
import { nowSeconds } from '../shared/clock.js';
import { Num, OneOf, Text } from '../shared/fields.js';
import { LOG_LEVELS, type LogEntry, type LogLevel, type Mission } from './missions.dto.js';
import { type MissionStatus, STATUSES } from './missions.lifecycle.js';

const ID = '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11';
const AT = 1735424567.89;
type Subject = Pick<Mission, 'id' | 'name' | 'description' | 'status' | 'created_by' | 'created_at'>;

export class MissionCreated {
  @Text({ max: 128 })
  mission_id!: string;

  @Text({ max: 256 })
  name!: string;

  @Text({ max: 4096, nullable: true })
  description!: string | null;

  @OneOf(STATUSES, { name: 'MissionStatus' })
  status!: MissionStatus;

  @Text({ max: 256 })
  created_by!: string;

  @Num()
  created_at!: number;
}

export const missionCreated = defineEvent({
  type: 'mission.created',
  module: 'mission',
  payload: MissionCreated,
  subjects: ['mission_id'],
  priority: 'HIGH',
  when: 'A mission was made.',
  example: {
    mission_id: ID,
    name: 'Tell the owner of the page',
    description: null,
    status: 'PENDING',
    created_by: 'bootstrap',
    created_at: AT,
  },
  consumers: ['Dashboard: what there is to do', 'Audit: who set what in motion'],
  of: ({ id, name, description, status, created_by, created_at }: Subject): MissionCreated => ({
    mission_id: id,
    name,
    description,
    status,
    created_by,
    created_at,
  }),
});

export class MissionStatusChanged {
  @Text({ max: 128 })
  mission_id!: string;

  @OneOf(STATUSES, { name: 'MissionStatus' })
  old_status!: MissionStatus;

  @OneOf(STATUSES, { name: 'MissionStatus' })
  new_status!: MissionStatus;

  @Text({ max: 4096, optional: true })
  reason?: string;

  @Num()
  changed_at!: number;
}

export const missionStatusChanged = defineEvent({
  type: 'mission.status_changed',
  module: 'mission',
  payload: MissionStatusChanged,
  subjects: ['mission_id'],
  priority: 'HIGH',
  when: 'A mission moved to another status, by a worker of this service or by somebody else.',
  example: { mission_id: ID, old_status: 'PENDING', new_status: 'RUNNING', changed_at: AT },
  consumers: ['Dashboard: what runs, and how it ended', 'Agents: their mission is done'],
  of: (id: string, from: MissionStatus, to: MissionStatus, reason?: string): MissionStatusChanged => ({
    mission_id: id,
    old_status: from,
    new_status: to,
    reason,
    changed_at: nowSeconds(),
  }),
});

export class MissionLogAppended {
  @Text({ max: 128 })
  mission_id!: string;

  @OneOf(LOG_LEVELS, { name: 'LogLevel' })
  log_level!: LogLevel;

  @Text({ max: 4096 })
  message!: string;

  @Num()
  appended_at!: number;
}

export const missionLogAppended = defineEvent({
  type: 'mission.log_appended',
  module: 'mission',
  payload: MissionLogAppended,
  subjects: ['mission_id'],
  priority: 'MEDIUM',
  when: 'A line was added to the log of a mission.',
  example: { mission_id: ID, log_level: 'info', message: 'Mission created', appended_at: AT },
  consumers: ['Dashboard: the log of a mission, as it is written'],
  of: (id: string, { level, message, timestamp }: LogEntry): MissionLogAppended => ({
    mission_id: id,
    log_level: level,
    message,
    appended_at: timestamp,
  }),
});
