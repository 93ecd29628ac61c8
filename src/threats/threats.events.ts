import { defineEvent } from '../events/event.js';
import { JsonObject, Num, OneOf, Text } from '../shared/fields.js';
import type { Threat, ThreatReport } from './threats.dto.js';
import { SEVERITIES, STATUSES, type ThreatSeverity, type ThreatStatus } from './threats.lifecycle.js';

const Severity = (description: string, optional = false): PropertyDecorator =>
  OneOf(SEVERITIES, { name: 'ThreatSeverity', description, optional });
const Status = (description: string, optional = false): PropertyDecorator =>
  OneOf(STATUSES, { name: 'ThreatStatus', description, optional });
const Reason = (): PropertyDecorator =>
  Text({ max: 4096, optional: true, description: 'Why it changed, if the request said so' });
const Time = (description: string): PropertyDecorator =>
  Num({ description: `${description}, in Unix seconds` });

const SEVERITY_NOW = 'The severity of the threat at the time of the event';

class ThreatSubject {
  @Text({ max: 128, description: 'The id of the threat' }) threat_id!: string;
  @Text({ max: 128, description: 'The kind of threat' }) type!: string;
  @Text({ max: 256, description: 'Where the threat was seen' }) source!: string;
}

class ThreatDetected extends ThreatSubject {
  @Severity('The severity of the new threat') severity!: ThreatSeverity;
  @Status('The status of the new threat: OPEN') status!: ThreatStatus;
  @Text({ max: 4096, optional: true, description: 'What was seen, in words' }) description?: string;
  @JsonObject({ description: 'Further details in any form' }) metadata!: Record<string, unknown>;
  @Time('When the threat was reported') detected_at!: number;
}

class ThreatSeenAgain extends ThreatSubject {
  @Severity('The severity of the threat after this report') severity!: ThreatSeverity;
  @Severity('The severity that this report has given') reported_severity!: ThreatSeverity;
  @Text({ max: 4096, optional: true, description: 'What was seen this time, in words' }) description?: string;
  @JsonObject({ description: 'Further details of this report in any form' }) metadata!: Record<
    string,
    unknown
  >;
  @Num({ integer: true, min: 2, description: 'The number of reports of this threat, this one included' })
  occurrences!: number;
  @Time('When the threat was reported again') seen_at!: number;
}

class ThreatStatusChanged extends ThreatSubject {
  @Severity(SEVERITY_NOW) severity!: ThreatSeverity;
  @Status('The status before the change') old_status!: ThreatStatus;
  @Status('The status after the change') new_status!: ThreatStatus;
  @Reason() reason?: string;
  @Time('When the status changed') changed_at!: number;
}

class ThreatSeverityChanged extends ThreatSubject {
  @Severity('The severity before the change') old_severity!: ThreatSeverity;
  @Severity('The severity after the change') new_severity!: ThreatSeverity;
  @Reason() reason?: string;
  @Time('When the severity changed') changed_at!: number;
}

class ThreatEscalated extends ThreatSubject {
  @Severity(SEVERITY_NOW) severity!: ThreatSeverity;
  @Status('The status before, if the status changed', true) old_status?: ThreatStatus;
  @Severity('The severity before, if the severity changed', true) old_severity?: ThreatSeverity;
  @Severity('The severity after, if the severity changed', true) new_severity?: ThreatSeverity;
  @Reason() reason?: string;
  @Time('When the threat was escalated') escalated_at!: number;
}

class ThreatMitigated extends ThreatSubject {
  @Severity(SEVERITY_NOW) severity!: ThreatSeverity;
  @Status('The status before the mitigation') old_status!: ThreatStatus;
  @Text({ max: 4096, optional: true, description: 'How the threat was closed, if that is known' })
  resolution?: string;
  @Num({ min: 0, description: 'The time from the creation or last reopening to the mitigation' })
  duration_seconds!: number;
  @Time('When the threat was mitigated') mitigated_at!: number;
}

class ThreatDeleted extends ThreatSubject {
  @Severity(SEVERITY_NOW) severity!: ThreatSeverity;
  @Status('The status of the threat at the time of the event') status!: ThreatStatus;
  @Text({ max: 256, description: 'The principal that deleted the threat' }) deleted_by!: string;
  @Time('When the threat was deleted') deleted_at!: number;
}

const example: ThreatSubject = {
  threat_id: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11',
  type: 'prompt_injection',
  source: 'agent:researcher-7',
};
const at = 1735424567.89;
const OF_THREAT = { module: 'threat', subjects: ['threat_id'] } as const;

/*
 * Each payload repeats the three fields of the subject. Spreading a shared object would be many times slower, and the caller waits
 * for this part of publishing.
 */

export const threatDetected = defineEvent({
  ...OF_THREAT,
  type: 'threat.detected',
  payload: ThreatDetected,
  priority: 'CRITICAL',
  when: 'A new threat is reported: no open threat has its type, source and fingerprint.',
  example: {
    ...example,
    severity: 'HIGH',
    status: 'OPEN',
    metadata: { url: 'https://example.org/page' },
    detected_at: at,
  },
  consumers: ['Security operations: open a case', 'Dashboard: show the threat'],
  of: (threat: Threat): ThreatDetected => ({
    threat_id: threat.id,
    type: threat.type,
    source: threat.source,
    severity: threat.severity,
    status: threat.status,
    description: threat.description ?? undefined,
    metadata: threat.metadata,
    detected_at: threat.created_at,
  }),
});

export const threatSeenAgain = defineEvent({
  ...OF_THREAT,
  type: 'threat.seen_again',
  payload: ThreatSeenAgain,
  priority: 'MEDIUM',
  schemaVersion: 2,
  when: 'An open threat is reported again, with its type, source and fingerprint.',
  example: {
    ...example,
    severity: 'HIGH',
    reported_severity: 'MEDIUM',
    metadata: { url: 'https://example.org/page' },
    occurrences: 2,
    seen_at: at,
  },
  consumers: ['Metrics: how often a threat occurs', 'Security operations: which threats grow'],
  of: (threat: Threat, report: ThreatReport): ThreatSeenAgain => ({
    threat_id: threat.id,
    type: threat.type,
    source: threat.source,
    severity: threat.severity,
    reported_severity: report.severity,
    description: report.description ?? undefined,
    metadata: report.metadata,
    occurrences: threat.occurrences,
    seen_at: threat.last_seen_at,
  }),
});

export const threatStatusChanged = defineEvent({
  ...OF_THREAT,
  type: 'threat.status_changed',
  payload: ThreatStatusChanged,
  priority: 'HIGH',
  when: 'The status of a threat changes.',
  example: { ...example, severity: 'HIGH', old_status: 'OPEN', new_status: 'INVESTIGATING', changed_at: at },
  consumers: ['Dashboard: move the card', 'Audit: the cause of each change, by the correlation id'],
  of: (threat: Threat, from: ThreatStatus, reason?: string): ThreatStatusChanged => ({
    threat_id: threat.id,
    type: threat.type,
    source: threat.source,
    severity: threat.severity,
    old_status: from,
    new_status: threat.status,
    reason,
    changed_at: threat.last_seen_at,
  }),
});

export const threatSeverityChanged = defineEvent({
  ...OF_THREAT,
  type: 'threat.severity_changed',
  payload: ThreatSeverityChanged,
  priority: 'HIGH',
  when: 'The severity of a threat rises or falls.',
  example: { ...example, old_severity: 'MEDIUM', new_severity: 'HIGH', changed_at: at },
  consumers: ['Dashboard: recolour the card', 'Metrics: how often an estimate changes'],
  of: (threat: Threat, from: ThreatSeverity, reason?: string): ThreatSeverityChanged => ({
    threat_id: threat.id,
    type: threat.type,
    source: threat.source,
    old_severity: from,
    new_severity: threat.severity,
    reason,
    changed_at: threat.last_seen_at,
  }),
});

export const threatEscalated = defineEvent({
  ...OF_THREAT,
  type: 'threat.escalated',
  payload: ThreatEscalated,
  priority: 'CRITICAL',
  when: 'A threat becomes ESCALATED or its severity rises. If both happen together, there is one event. It follows the events of the change.',
  example: {
    ...example,
    severity: 'CRITICAL',
    old_status: 'OPEN',
    old_severity: 'HIGH',
    new_severity: 'CRITICAL',
    escalated_at: at,
  },
  consumers: ['Security operations: page the person on call', 'Incident response: open a bridge'],
  of: (
    threat: Threat,
    from: { status?: ThreatStatus; severity?: ThreatSeverity },
    reason?: string,
  ): ThreatEscalated => ({
    threat_id: threat.id,
    type: threat.type,
    source: threat.source,
    severity: threat.severity,
    old_status: from.status,
    old_severity: from.severity,
    new_severity: from.severity && threat.severity,
    reason,
    escalated_at: threat.last_seen_at,
  }),
});

export const threatMitigated = defineEvent({
  ...OF_THREAT,
  type: 'threat.mitigated',
  payload: ThreatMitigated,
  priority: 'HIGH',
  when: 'The danger is over: a threat becomes MITIGATED, or becomes RESOLVED from any other status.',
  example: {
    ...example,
    severity: 'HIGH',
    old_status: 'INVESTIGATING',
    resolution: 'The page is blocked',
    duration_seconds: 312.5,
    mitigated_at: at,
  },
  consumers: ['Metrics: time to mitigate', 'Incident response: close the bridge'],
  of: (threat: Threat, from: ThreatStatus, durationSeconds: number): ThreatMitigated => ({
    threat_id: threat.id,
    type: threat.type,
    source: threat.source,
    severity: threat.severity,
    old_status: from,
    resolution: threat.resolution ?? undefined,
    duration_seconds: durationSeconds,
    mitigated_at: threat.last_seen_at,
  }),
});

export const threatDeleted = defineEvent({
  ...OF_THREAT,
  type: 'threat.deleted',
  payload: ThreatDeleted,
  priority: 'HIGH',
  when: 'An admin deletes a threat with its reports. The earlier events about it stay in the log.',
  example: { ...example, severity: 'LOW', status: 'OPEN', deleted_by: 'key_8vzn7ryx3d0q', deleted_at: at },
  consumers: ['Audit: who removed what', 'Dashboard: remove the card'],
  of: (threat: Threat, deletedBy: string, deletedAt: number): ThreatDeleted => ({
    threat_id: threat.id,
    type: threat.type,
    source: threat.source,
    severity: threat.severity,
    status: threat.status,
    deleted_by: deletedBy,
    deleted_at: deletedAt,
  }),
});
