/** How the counts of decisions are stored: one document for each process. The totals are counters of the collection. */
import type { Collection } from '../../storage/store.js';

export interface Tally {
  evaluations: number;
  allows: number;
  denies: number;
  warnings: number;
  audits: number;
}

export interface ProcessTally extends Tally {
  id: string;
  written_at: number;
}

export const TALLIES: Collection<ProcessTally> = {
  name: 'policy_tallies',
  item: 'tally',
  version: 1,
  indexVersion: 1,
  id: (tally) => tally.id,
  order: (tally) => tally.written_at,
  counts: ({ evaluations, allows, denies, warnings, audits }) => ({
    evaluations,
    allows,
    denies,
    warnings,
    audits,
  }),
};
