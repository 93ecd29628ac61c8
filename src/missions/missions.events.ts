import { defineEvent } from '../events/event.js';
import { nowSeconds } from '../shared/clock.js';
import { Num, OneOf, Text } from '../shared/fields.js';
import { LOG_LEVELS, type LogEntry, type LogLevel } from './log.dto.js';
import { type Mission } from './missions.dto.js';
import { type MissionStatus, STATUSES } from './missions.lifecycle.js';

class MissionSubject {
  @Text({ max: 128, description: 'The id of the mission' }) mission_id!: string;
}

class MissionCreated extends MissionSubject {
  @Text({ max: 256, description: 'What the mission is for, in a few words' }) name!: string;
  @Text({
    max: 4096,
    nullable: true,
    description: 'What the mission is for, in detail; null if there is none',
  })
  description!: string | null;
  @OneOf(STATUSES, { name: 'MissionStatus', description: 'The status of the new mission: PENDING' })
  status!: MissionStatus;
  @Text({ max: 256, description: 'The id of the principal that created the mission' }) created_by!: string;
  @Num({ description: 'When the mission was created, in Unix seconds' }) created_at!: number;
}

class MissionStatusChanged extends MissionSubject {
  @OneOf(STATUSES, { name: 'MissionStatus', description: 'The status before the change' })
  old_status!: MissionStatus;
  @OneOf(STATUSES, { name: 'MissionStatus', description: 'The status after the change' })
  new_status!: MissionStatus;
  @Text({ max: 4096, optional: true, description: 'Why the status changed, if that is known' })
  reason?: string;
  @Num({ description: 'When the status changed, in Unix seconds' }) changed_at!: number;
}

class MissionDeleted extends MissionSubject {
  @Text({ max: 256, description: 'What the mission was for, in a few words' }) name!: string;
  @OneOf(STATUSES, { name: 'MissionStatus', description: 'The last status of the mission' })
  status!: MissionStatus;
  @Text({ max: 256, description: 'The id of the principal that deleted the mission' }) deleted_by!: string;
  @Num({ description: 'When the mission was deleted, in Unix seconds' }) deleted_at!: number;
}

class MissionLogAppended extends MissionSubject {
  @OneOf(LOG_LEVELS, { name: 'LogLevel', description: 'How important the entry is' }) log_level!: LogLevel;
  @Text({ max: 4096, description: 'What happened' }) message!: string;
  @Num({ description: 'The time of the entry, in Unix seconds' }) appended_at!: number;
}

const ID = '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11';
const AT = 1735424567.89;
const OF_MISSION = { module: 'mission', subjects: ['mission_id'] } as const;
type Subject = Pick<Mission, 'id' | 'name' | 'description' | 'status' | 'created_by' | 'created_at'>;

export const missionCreated = defineEvent({
  ...OF_MISSION,
  type: 'mission.created',
  payload: MissionCreated,
  priority: 'HIGH',
  when: 'A mission is created.',
  example: {
    mission_id: ID,
    name: 'Inform the owner of the page',
    description: null,
    status: 'PENDING',
    created_by: 'bootstrap',
    created_at: AT,
  },
  consumers: ['Dashboard: missions to do', 'Audit: the creator of each mission'],
  of: ({ id, name, description, status, created_by, created_at }: Subject): MissionCreated => ({
    mission_id: id,
    name,
    description,
    status,
    created_by,
    created_at,
  }),
});

export const missionStatusChanged = defineEvent({
  ...OF_MISSION,
  type: 'mission.status_changed',
  payload: MissionStatusChanged,
  priority: 'HIGH',
  when: 'The status of a mission changes, by a worker of this service or by a request.',
  example: { mission_id: ID, old_status: 'PENDING', new_status: 'RUNNING', changed_at: AT },
  consumers: ['Dashboard: which missions run, and how they ended', 'Agents: the end of their missions'],
  of: (id: string, from: MissionStatus, to: MissionStatus, reason?: string): MissionStatusChanged => ({
    mission_id: id,
    old_status: from,
    new_status: to,
    reason,
    changed_at: nowSeconds(),
  }),
});

export const missionDeleted = defineEvent({
  ...OF_MISSION,
  type: 'mission.deleted',
  payload: MissionDeleted,
  priority: 'HIGH',
  when: 'A request deletes a mission, with its log and results. Retention removes missions without an event.',
  example: {
    mission_id: ID,
    name: 'Inform the owner of the page',
    status: 'CANCELLED',
    deleted_by: 'bootstrap',
    deleted_at: AT,
  },
  consumers: ['Dashboard: missions that are gone', 'Audit: who deleted which mission'],
  of: ({ id, name, status }: Pick<Mission, 'id' | 'name' | 'status'>, by: string): MissionDeleted => ({
    mission_id: id,
    name,
    status,
    deleted_by: by,
    deleted_at: nowSeconds(),
  }),
});

export const missionLogAppended = defineEvent({
  ...OF_MISSION,
  type: 'mission.log_appended',
  payload: MissionLogAppended,
  priority: 'MEDIUM',
  when: 'An entry is added to the log of a mission.',
  example: { mission_id: ID, log_level: 'info', message: 'Mission created', appended_at: AT },
  consumers: ['Dashboard: the log of a mission, live'],
  of: (id: string, { level, message, timestamp }: LogEntry): MissionLogAppended => ({
    mission_id: id,
    log_level: level,
    message,
    appended_at: timestamp,
  }),
});
