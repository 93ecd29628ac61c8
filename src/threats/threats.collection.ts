/** How threats are stored: indexes, counters, and how documents of other programs are read. */
import type { Actor } from '../shared/context.js';
import type { Collection, StatsTemplate } from '../storage/store.js';
import type { Threat, ThreatReport } from './threats.dto.js';
import { isClosed, SEVERITIES, STATUSES, type ThreatSeverity } from './threats.lifecycle.js';

export interface StoredThreat extends Threat {
  /** When the threat was created or last reopened. The time to mitigate starts here. */
  opened_at: number;
  /** What the first report said besides the fields of the threat; null in threats of earlier releases and of other programs. */
  first_report: { severity: ThreatSeverity; reporter: Actor } | null;
}

/** How many reports of a threat are kept: the last ones. */
export const KEPT_REPORTS = 20;

const counters = (field: string, values: readonly string[]): Record<string, { counter: string }> =>
  Object.fromEntries(values.map((value) => [value, { counter: `${field}.${value}` }]));

/** The fields of `ThreatStats`: the API answers with them, and other programs read them from the store. */
export const THREAT_STATS: StatsTemplate = {
  total: { counter: 'total' },
  by_severity: counters('by_severity', SEVERITIES),
  by_status: counters('by_status', STATUSES),
  mean_time_to_mitigate_seconds: { sum: 'mitigation_ms', count: 'mitigated', scale: 1000 },
  last_updated: { now: true },
};

export const THREATS: Collection<StoredThreat> = {
  name: 'threats',
  item: 'threat',
  version: 1,
  indexVersion: 2,
  id: (threat) => threat.id,
  order: (threat) => threat.last_seen_at,
  unique: { open_fingerprint: (threat) => (isClosed(threat.status) ? null : identityOf(threat)) },
  indexes: {
    status: (threat) => threat.status,
    severity: (threat) => threat.severity,
    type: (threat) => threat.type,
    source: (threat) => threat.source,
    // Limits the open threats of one reporter.
    open_by: ({ status, first_report }) => (isClosed(status) ? null : (first_report?.reporter.id ?? null)),
  },
  counts: (threat) => ({
    [`by_status.${threat.status}`]: 1,
    [`by_severity.${threat.severity}`]: 1,
    ...(threat.mitigated_at !== null && {
      mitigated: 1,
      mitigation_ms: Math.max(0, Math.round((threat.mitigated_at - threat.opened_at) * 1000)),
    }),
  }),
  stats: THREAT_STATS,
  read,
};

/**
 * What makes two reports the same threat. A fingerprint is only known to belong to a cause of one type, seen at one source:
 * otherwise a report could be hidden in a threat that somebody else has made for it.
 */
export function identityOf(
  one: Pick<Threat, 'type' | 'source'> & { fingerprint?: string | null },
): string | null {
  const { type, source, fingerprint = null } = one;
  return fingerprint === null ? null : JSON.stringify([type, source, fingerprint]);
}

/** Other programs write fewer fields. A missing field gets the default that it has in those programs. */
function read(raw: Record<string, unknown>): StoredThreat {
  const { v: _v, ...threat } = raw;
  for (const field of ['id', 'type', 'source']) {
    if (typeof threat[field] !== 'string') throw new Error(`${field} must be text`);
  }
  if (!STATUSES.includes(threat.status as never))
    throw new Error(`status must be one of ${STATUSES.join(', ')}`);
  if (!SEVERITIES.includes(threat.severity as never))
    throw new Error(`severity must be one of ${SEVERITIES.join(', ')}`);
  if (typeof threat.created_at !== 'number') throw new Error('created_at must be a number');
  return {
    description: null,
    metadata: {},
    last_seen_at: threat.created_at,
    occurrences: 1,
    fingerprint: null,
    resolution: null,
    mitigated_at: null,
    opened_at: threat.created_at,
    first_report: null,
    version: 1,
    ...threat,
  } as unknown as StoredThreat;
}

/** The public fields. Internal fields and those of other programs stay in the store. */
export function toThreat(threat: StoredThreat): Threat {
  return {
    id: threat.id,
    type: threat.type,
    source: threat.source,
    severity: threat.severity,
    status: threat.status,
    description: threat.description,
    metadata: threat.metadata,
    created_at: threat.created_at,
    last_seen_at: threat.last_seen_at,
    occurrences: threat.occurrences,
    fingerprint: threat.fingerprint,
    resolution: threat.resolution,
    mitigated_at: threat.mitigated_at,
    version: threat.version,
  };
}

/** The last reports, oldest first. The first one is in the threat itself, the others are its appended entries. */
export function reportsOf(threat: StoredThreat, later: ThreatReport[]): ThreatReport[] {
  const { first_report, created_at, description, metadata } = threat;
  const first = first_report && {
    ...{ occurrence: 1, reported_at: created_at, severity: first_report.severity },
    ...{ description, metadata, reporter: first_report.reporter },
  };
  // A report that came after the threat was read belongs to the next answer.
  const known = later.filter(({ occurrence }) => occurrence <= threat.occurrences);
  return [...(first ? [first] : []), ...known].slice(-KEPT_REPORTS);
}
