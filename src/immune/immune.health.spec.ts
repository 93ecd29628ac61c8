import { type ImmuneStatus, SEVERITIES, statusOf, summarize, TYPES } from './immune.health.js';

const bounds = { degraded_warnings: 10, degraded_share: 0.5 };

/** The counts of INFO, WARNING and CRITICAL; the thresholds for WARNING: number and share; the status. */
const TABLE: [number, number, number, number, number, ImmuneStatus][] = [
  [0, 0, 0, 10, 0.5, 'healthy'],
  [1000, 0, 0, 10, 0.5, 'healthy'],
  [0, 1, 0, 10, 0.5, 'degraded'],
  [1, 1, 0, 10, 0.5, 'healthy'],
  [1, 2, 0, 10, 0.5, 'degraded'],
  [10, 10, 0, 10, 0.5, 'healthy'],
  [1000, 10, 0, 10, 0.5, 'healthy'],
  [1000, 11, 0, 10, 0.5, 'degraded'],
  [0, 0, 1, 10, 0.5, 'critical'],
  [1000, 0, 1, 10, 0.5, 'critical'],
  [0, 50, 1, 10, 0.5, 'critical'],
  [0, 10, 0, 10, 1, 'healthy'],
  [0, 11, 0, 10, 1, 'degraded'],
  [0, 0, 0, 10, 0, 'healthy'],
  [1000, 1, 0, 10, 0, 'degraded'],
  [1000, 1, 0, 0, 0.5, 'degraded'],
  [1000, 0, 0, 0, 0.5, 'healthy'],
];

describe('the health of the fleet', () => {
  it.each(TABLE)(
    'with %d INFO, %d WARNING, %d CRITICAL and the bounds %d and %d is %s',
    (INFO, WARNING, CRITICAL, degraded_warnings, degraded_share, status) => {
      const numbers = { INFO, WARNING, CRITICAL };
      expect(statusOf(numbers, { degraded_warnings, degraded_share })).toBe(status);
    },
  );

  it('counts each kind of event once by its severity and once by its type', () => {
    const kinds = SEVERITIES.flatMap((severity, i) =>
      TYPES.map((type, j) => ({ severity, type, count: 10 ** i * (j + 1) })),
    );
    expect(summarize(kinds, bounds)).toEqual({
      status: 'critical',
      active_issues: 21 * 111,
      critical_issues: 2100,
      by_severity: { INFO: 21, WARNING: 210, CRITICAL: 2100 },
      by_type: {
        POLICY_VIOLATION: 111,
        ERROR_SPIKE: 222,
        SELF_HEALING_ACTION: 333,
        RESOURCE_EXHAUSTION: 444,
        AGENT_FAILURE: 555,
        PERFORMANCE_DEGRADATION: 666,
      },
    });
  });

  it('is healthy without events, and lists every number as zero', () => {
    expect(summarize([], bounds)).toEqual({
      status: 'healthy',
      active_issues: 0,
      critical_issues: 0,
      by_severity: { INFO: 0, WARNING: 0, CRITICAL: 0 },
      by_type: Object.fromEntries(TYPES.map((type) => [type, 0])),
    });
  });
});
