import { NextCursor, PageQuery, Total } from '../http/request.js';
import { JsonObject, ListOf, Nested, Num, OneOf, Text } from '../shared/fields.js';
import { SEVERITIES, STATUSES, type ThreatSeverity, type ThreatStatus } from './threats.lifecycle.js';

const Severity = (options: { optional?: boolean; description?: string } = {}): PropertyDecorator =>
  OneOf(SEVERITIES, { name: 'ThreatSeverity', example: 'HIGH', ...options });
const Status = (options: { optional?: boolean; description?: string } = {}): PropertyDecorator =>
  OneOf(STATUSES, { name: 'ThreatStatus', example: 'INVESTIGATING', ...options });

const MAX_TEXT = 4096;

export class Threat {
  @Text({ max: 128, description: 'A UUID', example: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11' })
  id!: string;

  @Text({ max: 128, example: 'prompt_injection' })
  type!: string;

  @Text({ max: 256, example: 'agent:researcher-7' })
  source!: string;

  @Severity()
  severity!: ThreatSeverity;

  @Status()
  status!: ThreatStatus;

  @Text({ max: MAX_TEXT, nullable: true, example: 'A fetched page told the agent to reveal its keys' })
  description!: string | null;

  @JsonObject({ example: { url: 'https://example.org/page' } })
  metadata!: Record<string, unknown>;

  @Num({ example: 1735424567.89 })
  created_at!: number;

  @Num({ description: 'When its status, severity or occurrences last changed', example: 1735424567.89 })
  last_seen_at!: number;

  @Num({ integer: true, min: 1, description: 'How often it was reported under its fingerprint', example: 1 })
  occurrences!: number;

  @Text({
    max: 256,
    nullable: true,
    description: 'Reports with the same one are one threat while it is open',
    example: 'injection:example.org/page',
  })
  fingerprint!: string | null;

  @Text({ max: MAX_TEXT, nullable: true, description: 'How it was closed', example: null })
  resolution!: string | null;

  @Num({ nullable: true, description: 'When the danger was over', example: null })
  mitigated_at!: number | null;

  @Num({ integer: true, min: 1, description: 'Grows with each change; the ETag', example: 1 })
  version!: number;
}

export class ReportThreat {
  @Text({ max: 128, description: 'What kind of threat', example: 'prompt_injection' })
  type!: string;

  @Text({ max: 256, description: 'Where it was seen', example: 'agent:researcher-7' })
  source!: string;

  @Severity()
  severity!: ThreatSeverity;

  @Text({
    max: MAX_TEXT,
    optional: true,
    nullable: true,
    example: 'A fetched page told the agent to reveal its keys',
  })
  description?: string | null;

  @JsonObject({
    optional: true,
    description: 'Whatever helps to understand it',
    example: { url: 'https://example.org/page' },
  })
  metadata?: Record<string, unknown>;

  @Text({
    max: 256,
    optional: true,
    nullable: true,
    description: 'The same for the same cause: repeated reports are counted, not piled up',
    example: 'injection:example.org/page',
  })
  fingerprint?: string | null;
}

export class ChangeStatus {
  @Status({ optional: true, description: 'Required, here or as `?status=`' })
  status?: ThreatStatus;

  @Text({
    max: MAX_TEXT,
    optional: true,
    nullable: true,
    description: 'How it was closed',
    example: 'The page is blocked',
  })
  resolution?: string | null;

  @Text({
    max: MAX_TEXT,
    optional: true,
    nullable: true,
    description: 'Why; it stands in the event',
    example: 'Seen by the on-call analyst',
  })
  reason?: string | null;
}

export class StatusQuery {
  @Status({ optional: true, description: 'The same as `status` in the body' })
  status?: ThreatStatus;
}

export class ChangeSeverity {
  @Severity()
  severity!: ThreatSeverity;

  @Text({
    max: MAX_TEXT,
    optional: true,
    nullable: true,
    description: 'Why; it stands in the event',
    example: 'A second agent is affected',
  })
  reason?: string | null;
}

export class ThreatQuery extends PageQuery {
  @Status({ optional: true })
  status?: ThreatStatus;

  @Severity({ optional: true })
  severity?: ThreatSeverity;

  @Text({ max: 128, optional: true, example: 'prompt_injection' })
  type?: string;

  @Text({ max: 256, optional: true, example: 'agent:researcher-7' })
  source?: string;
}

export class ThreatPage {
  @ListOf(() => Threat, { description: 'Newest `last_seen_at` first' })
  threats!: Threat[];

  @Total()
  total!: number | null;

  @NextCursor()
  next_cursor!: string | null;
}

class SeverityCounts {
  @Num({ integer: true, example: 1 }) LOW!: number;
  @Num({ integer: true, example: 0 }) MEDIUM!: number;
  @Num({ integer: true, example: 2 }) HIGH!: number;
  @Num({ integer: true, example: 0 }) CRITICAL!: number;
}

class StatusCounts {
  @Num({ integer: true, example: 1 }) OPEN!: number;
  @Num({ integer: true, example: 0 }) INVESTIGATING!: number;
  @Num({ integer: true, example: 0 }) ESCALATED!: number;
  @Num({ integer: true, example: 2 }) MITIGATED!: number;
  @Num({ integer: true, example: 0 }) IGNORED!: number;
  @Num({ integer: true, example: 0 }) RESOLVED!: number;
}

export class ThreatStats {
  @Num({ integer: true, example: 3 })
  total!: number;

  @Nested(() => SeverityCounts)
  by_severity!: Record<ThreatSeverity, number>;

  @Nested(() => StatusCounts)
  by_status!: Record<ThreatStatus, number>;

  @Num({
    nullable: true,
    description: 'Over the threats whose danger is over; null while there is none',
    example: 312.5,
  })
  mean_time_to_mitigate_seconds!: number | null;

  @Num({ description: 'When these figures held', example: 1735424567.89 })
  last_updated!: number;
}

export class ThreatOverview {
  @Nested(() => ThreatStats)
  stats!: ThreatStats;
}
