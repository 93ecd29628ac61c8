/** The log of a mission. */
import { NextCursor } from '../http/request.js';
import { Described, JsonObject, ListOf, Num, OneOf, Text } from '../shared/fields.js';

const MAX_MESSAGE = 4096;
const LEVEL = 'How important the entry is';
const MESSAGE = 'What happened';
const DETAILS = 'Further details in any form';

export const LOG_LEVELS = ['debug', 'info', 'warning', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

@Described('One line of the log of a mission')
export class LogEntry {
  @Num({ description: 'When it happened, in Unix seconds', example: 1735424567.89 })
  timestamp!: number;

  @OneOf(LOG_LEVELS, { name: 'LogLevel', description: LEVEL, example: 'info' })
  level!: LogLevel;

  @Text({ max: MAX_MESSAGE, description: MESSAGE, example: 'Mission created' })
  message!: string;

  @JsonObject({ description: `${DETAILS}; empty if there are none`, example: {} })
  data!: Record<string, unknown>;
}

@Described('A line to add to the log of a mission')
export class NewLogEntry {
  @Num({
    optional: true,
    min: 0,
    description: 'When it happened, in Unix seconds; by default now',
    example: 1735424567.89,
  })
  timestamp?: number;

  @OneOf(LOG_LEVELS, { name: 'LogLevel', optional: true, default: 'info', description: LEVEL })
  level?: LogLevel;

  @Text({ max: MAX_MESSAGE, description: MESSAGE, example: 'The owner has answered' })
  message!: string;

  @JsonObject({ optional: true, description: DETAILS, example: { attempt: 2 } })
  data?: Record<string, unknown>;
}

@Described('One page of the log of a mission')
export class MissionLog {
  @Text({ max: 128, description: 'The id of the mission', example: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11' })
  mission_id!: string;

  @ListOf(() => LogEntry, { description: 'The entries of this page, the oldest first' })
  log!: LogEntry[];

  @NextCursor()
  next_cursor!: string | null;
}
