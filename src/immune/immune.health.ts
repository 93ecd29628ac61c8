/** Rates the health of the fleet by the counts of a time window. Pure. */
export const SEVERITIES = ['INFO', 'WARNING', 'CRITICAL'] as const;
export type ImmuneSeverity = (typeof SEVERITIES)[number];

export const TYPES = [
  'POLICY_VIOLATION',
  'ERROR_SPIKE',
  'SELF_HEALING_ACTION',
  'RESOURCE_EXHAUSTION',
  'AGENT_FAILURE',
  'PERFORMANCE_DEGRADATION',
] as const;
export type ImmuneType = (typeof TYPES)[number];

/** From the best to the worst. */
export const STATUSES = ['healthy', 'degraded', 'critical'] as const;
export type ImmuneStatus = (typeof STATUSES)[number];

/** The fleet is degraded if either limit is exceeded. */
export interface Bounds {
  /** WARNING events. */
  degraded_warnings: number;
  /** The share of WARNING among the INFO and WARNING events, from 0 to 1. */
  degraded_share: number;
}

export interface KindCount {
  severity: ImmuneSeverity;
  type: ImmuneType;
  count: number;
}

export interface Summary {
  status: ImmuneStatus;
  active_issues: number;
  critical_issues: number;
  by_severity: Record<ImmuneSeverity, number>;
  by_type: Record<ImmuneType, number>;
}

export function summarize(kinds: KindCount[], bounds: Bounds): Summary {
  const sum = (of: (kind: KindCount) => boolean): number =>
    kinds.filter(of).reduce((total, { count }) => total + count, 0);
  const by_severity = each(SEVERITIES, (severity) => sum((kind) => kind.severity === severity));
  const by_type = each(TYPES, (type) => sum((kind) => kind.type === type));
  return {
    status: statusOf(by_severity, bounds),
    active_issues: sum(() => true),
    critical_issues: by_severity.CRITICAL,
    by_severity,
    by_type,
  };
}

export function statusOf(
  { INFO, WARNING, CRITICAL }: Record<ImmuneSeverity, number>,
  { degraded_warnings, degraded_share }: Bounds,
): ImmuneStatus {
  if (CRITICAL > 0) return 'critical';
  // The product avoids a division by zero for a window without events.
  const tooMany = WARNING > degraded_warnings || WARNING > degraded_share * (INFO + WARNING);
  return tooMany ? 'degraded' : 'healthy';
}

function each<K extends string>(names: readonly K[], of: (name: K) => number): Record<K, number> {
  return Object.fromEntries(names.map((name) => [name, of(name)])) as Record<K, number>;
}
