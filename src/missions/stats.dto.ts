/** The answer with the numbers of all missions. */
import { Count, Described, Nested } from '../shared/fields.js';
import { Time } from './missions.dto.js';
import type { MissionStatus } from './missions.lifecycle.js';

@Described('The number of missions by status')
class MissionsByStatus {
  @Count('Missions with status PENDING')
  PENDING!: number;

  @Count('Missions with status RUNNING')
  RUNNING!: number;

  @Count('Missions with status COMPLETED')
  COMPLETED!: number;

  @Count('Missions with status FAILED')
  FAILED!: number;

  @Count('Missions with status CANCELLED')
  CANCELLED!: number;
}

@Described('The numbers of all missions')
export class MissionStats {
  @Count('All stored missions')
  total!: number;

  @Nested(() => MissionsByStatus, { description: 'The missions by status' })
  by_status!: Record<MissionStatus, number>;

  @Time('When these numbers were read')
  last_updated!: number;
}

@Described('The numbers of all missions')
export class MissionOverview {
  @Nested(() => MissionStats, { description: 'The counts' })
  stats!: MissionStats;
}
