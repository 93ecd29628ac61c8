import { Actor } from '../http/answers.js';
import { Listed, PageQueryOf } from '../http/listed.js';
import { NextCursor, Total } from '../http/request.js';
import { Described, JsonObject, ListOf, Nested, Num, OneOf, Text } from '../shared/fields.js';
import { SEVERITIES, STATUSES, type ThreatSeverity, type ThreatStatus } from './threats.lifecycle.js';

const Type = (): PropertyDecorator =>
  Text({ max: 128, description: 'The kind of threat', example: 'prompt_injection' });
const Source = (): PropertyDecorator =>
  Text({ max: 256, description: 'Where the threat was seen', example: 'agent:researcher-7' });
const Severity = (description: string, optional = false): PropertyDecorator =>
  OneOf(SEVERITIES, { name: 'ThreatSeverity', description, example: 'HIGH', optional });
const Status = (description: string, optional = false): PropertyDecorator =>
  OneOf(STATUSES, { name: 'ThreatStatus', description, example: 'INVESTIGATING', optional });

const DESCRIPTION = 'What was seen, in words';
const METADATA = 'Further details in any form';
const REASON = 'Why it changes; the event carries it';

const MAX_TEXT = 4096;

const Seen = (which = 'the'): PropertyDecorator =>
  Text({
    max: MAX_TEXT,
    nullable: true,
    description: `${DESCRIPTION}; null if ${which} report had none`,
    example: 'A fetched page asked the agent to reveal its keys',
  });
const Details = (which = 'the'): PropertyDecorator =>
  JsonObject({
    description: `${METADATA}; empty if ${which} report had none`,
    example: { url: 'https://example.org/page' },
  });

@Described('Something that endangers the fleet')
export class Threat {
  @Text({
    max: 128,
    description: 'The id that the service gave the threat, a UUID',
    example: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11',
  })
  id!: string;

  @Type() type!: string;
  @Source() source!: string;
  @Severity('How dangerous the threat is') severity!: ThreatSeverity;

  @Status('Where the threat is in its life cycle')
  status!: ThreatStatus;

  @Seen()
  description!: string | null;

  @Details()
  metadata!: Record<string, unknown>;

  @Num({ description: 'When the threat was first reported, in Unix seconds', example: 1735424567.89 })
  created_at!: number;

  @Num({
    description: 'When its status, severity or occurrences last changed, in Unix seconds',
    example: 1735424567.89,
  })
  last_seen_at!: number;

  @Num({
    integer: true,
    min: 1,
    description: 'The number of reports: the first and all repetitions',
    example: 1,
  })
  occurrences!: number;

  @Text({
    max: 256,
    nullable: true,
    description:
      'Identifies the cause: while the threat is open, reports with the same type, source and fingerprint count as this threat',
    example: 'injection:example.org/page',
  })
  fingerprint!: string | null;

  @Text({
    max: MAX_TEXT,
    nullable: true,
    description: 'How the threat was closed; null if that is not known',
    example: null,
  })
  resolution!: string | null;

  @Num({
    nullable: true,
    description: 'When the threat was mitigated, in Unix seconds; null if it is not',
    example: null,
  })
  mitigated_at!: number | null;

  @Num({
    integer: true,
    min: 1,
    description: 'Grows by one with each change; the ETag of the threat',
    example: 1,
  })
  version!: number;
}

@Described('One report of a threat')
export class ThreatReport {
  @Num({
    integer: true,
    min: 1,
    description: 'Which report of the threat this is; 1 is the first',
    example: 1,
  })
  occurrence!: number;

  @Num({ description: 'When it was reported, in Unix seconds', example: 1735424567.89 })
  reported_at!: number;

  @Severity('The severity that this report has given')
  severity!: ThreatSeverity;

  @Seen('this')
  description!: string | null;

  @Details('this')
  metadata!: Record<string, unknown>;

  @Nested(() => Actor, { description: 'Who has reported it' })
  reporter!: Actor;
}

@Described('A threat with its last reports')
export class ThreatWithReports extends Threat {
  @ListOf(() => ThreatReport, {
    description:
      'The last 20 reports, the oldest first; reports to earlier releases are missing. The event log has all of them',
  })
  reports!: ThreatReport[];
}

@Described('A threat in a list')
export class ListedThreat extends Listed(Threat, 'metadata') {}

@Described('A threat to report')
export class ReportThreat {
  @Type() type!: string;
  @Source() source!: string;
  @Severity('How dangerous the threat is') severity!: ThreatSeverity;

  @Text({
    max: MAX_TEXT,
    optional: true,
    nullable: true,
    description: DESCRIPTION,
    example: 'A fetched page asked the agent to reveal its keys',
  })
  description?: string | null;

  @JsonObject({
    optional: true,
    description: `${METADATA}, up to BRAIN_THREATS_MAX_METADATA_KIB (32 KiB) as JSON`,
    example: { url: 'https://example.org/page' },
  })
  metadata?: Record<string, unknown>;

  @Text({
    max: 256,
    optional: true,
    nullable: true,
    description:
      'Identifies the cause: a report with the type, source and fingerprint of an open threat counts as one more occurrence of it',
    example: 'injection:example.org/page',
  })
  fingerprint?: string | null;
}

@Described('A new status of a threat')
export class ChangeStatus {
  @Status('The new status; required here or as `?status=`', true)
  status?: ThreatStatus;

  @Text({
    max: MAX_TEXT,
    optional: true,
    nullable: true,
    description: 'How the threat was closed',
    example: 'The page is blocked',
  })
  resolution?: string | null;

  @Text({
    max: MAX_TEXT,
    optional: true,
    nullable: true,
    description: REASON,
    example: 'Seen by the on-call analyst',
  })
  reason?: string | null;
}

export class StatusQuery {
  @Status('The new status, as an alternative to `status` in the body', true)
  status?: ThreatStatus;
}

@Described('A new severity of a threat')
export class ChangeSeverity {
  @Severity('The new severity')
  severity!: ThreatSeverity;

  @Text({
    max: MAX_TEXT,
    optional: true,
    nullable: true,
    description: REASON,
    example: 'A second agent is affected',
  })
  reason?: string | null;
}

export class ThreatQuery extends PageQueryOf(ListedThreat) {
  @Status('Only threats with this status', true)
  status?: ThreatStatus;

  @Severity('Only threats with this severity', true)
  severity?: ThreatSeverity;

  @Text({ max: 128, optional: true, description: 'Only threats of this type', example: 'prompt_injection' })
  type?: string;

  @Text({
    max: 256,
    optional: true,
    description: 'Only threats from this source',
    example: 'agent:researcher-7',
  })
  source?: string;
}

@Described('One page of threats')
export class ThreatPage {
  @ListOf(() => ListedThreat, { description: 'The threats of this page, the newest `last_seen_at` first' })
  threats!: ListedThreat[];

  @Total()
  total!: number | null;

  @NextCursor()
  next_cursor!: string | null;
}
