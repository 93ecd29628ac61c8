import { defineEvent } from '../events/event.js';
import { JsonObject, Num, OneOf, Text } from '../shared/fields.js';
import type { Threat } from './threats.dto.js';
import { SEVERITIES, STATUSES, type ThreatSeverity, type ThreatStatus } from './threats.lifecycle.js';

const Severity = (optional = false): PropertyDecorator =>
  OneOf(SEVERITIES, { name: 'ThreatSeverity', optional });
const Status = (optional = false): PropertyDecorator => OneOf(STATUSES, { name: 'ThreatStatus', optional });

class ThreatSubject {
  @Text({ max: 128 }) threat_id!: string;
  @Text({ max: 128 }) type!: string;
  @Text({ max: 256 }) source!: string;
}

class ThreatDetected extends ThreatSubject {
  @Severity() severity!: ThreatSeverity;
  @Status() status!: ThreatStatus;
  @Text({ max: 4096, optional: true }) description?: string;
  @JsonObject() metadata!: Record<string, unknown>;
  @Num() detected_at!: number;
}

class ThreatSeenAgain extends ThreatSubject {
  @Severity() severity!: ThreatSeverity;
  @Num({ integer: true, min: 2 }) occurrences!: number;
  @Num() seen_at!: number;
}

class ThreatStatusChanged extends ThreatSubject {
  @Severity() severity!: ThreatSeverity;
  @Status() old_status!: ThreatStatus;
  @Status() new_status!: ThreatStatus;
  @Text({ max: 4096, optional: true }) reason?: string;
  @Num() changed_at!: number;
}

class ThreatSeverityChanged extends ThreatSubject {
  @Severity() old_severity!: ThreatSeverity;
  @Severity() new_severity!: ThreatSeverity;
  @Text({ max: 4096, optional: true }) reason?: string;
  @Num() changed_at!: number;
}

class ThreatEscalated extends ThreatSubject {
  @Severity() severity!: ThreatSeverity;
  @Status(true) old_status?: ThreatStatus;
  @Severity(true) old_severity?: ThreatSeverity;
  @Severity(true) new_severity?: ThreatSeverity;
  @Text({ max: 4096, optional: true }) reason?: string;
  @Num() escalated_at!: number;
}

class ThreatMitigated extends ThreatSubject {
  @Severity() severity!: ThreatSeverity;
  @Status() old_status!: ThreatStatus;
  @Text({ max: 4096, optional: true }) resolution?: string;
  @Num({ min: 0, description: 'Since it was created, or last reopened' }) duration_seconds!: number;
  @Num() mitigated_at!: number;
}

const example: ThreatSubject = {
  threat_id: '6f1b1c1e-8f0a-4d57-9f0e-0a4c2b9d7a11',
  type: 'prompt_injection',
  source: 'agent:researcher-7',
};
const at = 1735424567.89;

/*
 * The three fields of the subject stand in each payload by themselves: an object that begins as a copy of another is many
 * times as slow to make, and this is the part of publishing that its caller waits for.
 */

export const threatDetected = defineEvent({
  type: 'threat.detected',
  module: 'threat',
  payload: ThreatDetected,
  subjects: ['threat_id'],
  priority: 'CRITICAL',
  when: 'A threat is reported that was not open already.',
  example: {
    ...example,
    severity: 'HIGH',
    status: 'OPEN',
    metadata: { url: 'https://example.org/page' },
    detected_at: at,
  },
  consumers: ['Security operations: open a case', 'Dashboard: show it at once'],
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
  type: 'threat.seen_again',
  module: 'threat',
  payload: ThreatSeenAgain,
  subjects: ['threat_id'],
  priority: 'MEDIUM',
  when: 'The fingerprint of an open threat is reported again.',
  example: { ...example, severity: 'HIGH', occurrences: 2, seen_at: at },
  consumers: ['Metrics: how often it strikes', 'Security operations: what is growing'],
  of: (threat: Threat): ThreatSeenAgain => ({
    threat_id: threat.id,
    type: threat.type,
    source: threat.source,
    severity: threat.severity,
    occurrences: threat.occurrences,
    seen_at: threat.last_seen_at,
  }),
});

export const threatStatusChanged = defineEvent({
  type: 'threat.status_changed',
  module: 'threat',
  payload: ThreatStatusChanged,
  subjects: ['threat_id'],
  priority: 'HIGH',
  when: 'The status of a threat changes, whichever way.',
  example: { ...example, severity: 'HIGH', old_status: 'OPEN', new_status: 'INVESTIGATING', changed_at: at },
  consumers: ['Dashboard: move the card', 'Audit: who moved it and why, by the correlation'],
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
  type: 'threat.severity_changed',
  module: 'threat',
  payload: ThreatSeverityChanged,
  subjects: ['threat_id'],
  priority: 'HIGH',
  when: 'The severity of a threat goes up or down.',
  example: { ...example, old_severity: 'MEDIUM', new_severity: 'HIGH', changed_at: at },
  consumers: ['Dashboard: recolour the card', 'Metrics: how estimates hold'],
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
  type: 'threat.escalated',
  module: 'threat',
  payload: ThreatEscalated,
  subjects: ['threat_id'],
  priority: 'CRITICAL',
  when: 'A threat becomes ESCALATED or its severity goes up; once when both happen together, after the change itself.',
  example: {
    ...example,
    severity: 'CRITICAL',
    old_status: 'OPEN',
    old_severity: 'HIGH',
    new_severity: 'CRITICAL',
    escalated_at: at,
  },
  consumers: ['Security operations: page somebody', 'Incident response: open a bridge'],
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
  type: 'threat.mitigated',
  module: 'threat',
  payload: ThreatMitigated,
  subjects: ['threat_id'],
  priority: 'HIGH',
  when: 'The danger is over: each entry into MITIGATED, and into RESOLVED unless from MITIGATED.',
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
