import { Count, Described, Nested, Num } from '../shared/fields.js';
import type { ThreatSeverity, ThreatStatus } from './threats.lifecycle.js';

@Described('The number of threats by severity')
class SeverityCounts {
  @Count('Threats with severity LOW', 1) LOW!: number;
  @Count('Threats with severity MEDIUM') MEDIUM!: number;
  @Count('Threats with severity HIGH', 2) HIGH!: number;
  @Count('Threats with severity CRITICAL') CRITICAL!: number;
}

@Described('The number of threats by status')
class StatusCounts {
  @Count('Threats with status OPEN', 1) OPEN!: number;
  @Count('Threats with status INVESTIGATING') INVESTIGATING!: number;
  @Count('Threats with status ESCALATED') ESCALATED!: number;
  @Count('Threats with status MITIGATED', 2) MITIGATED!: number;
  @Count('Threats with status IGNORED') IGNORED!: number;
  @Count('Threats with status RESOLVED') RESOLVED!: number;
}

@Described('The numbers of all threats')
export class ThreatStats {
  @Count('All stored threats', 3)
  total!: number;

  @Nested(() => SeverityCounts, { description: 'The threats by severity' })
  by_severity!: Record<ThreatSeverity, number>;

  @Nested(() => StatusCounts, { description: 'The threats by status' })
  by_status!: Record<ThreatStatus, number>;

  @Num({
    nullable: true,
    description:
      'The mean time from creation or last reopening to mitigation, over all mitigated threats; null if there are none',
    example: 312.5,
  })
  mean_time_to_mitigate_seconds!: number | null;

  @Num({ description: 'When these numbers were read, in Unix seconds', example: 1735424567.89 })
  last_updated!: number;
}

@Described('The numbers of all threats')
export class ThreatOverview {
  @Nested(() => ThreatStats, { description: 'The counts' })
  stats!: ThreatStats;
}
