/**
 * What a reader already knows about trims. While it reads the evidence tier, it would find the same gap at each of its places,
 * but it gets each gap once.
 */
import { comparePositions } from '../../storage/event-log.js';
import type { MissedGap } from './resume.js';

export class KnownTrims {
  /** Up to these positions the reader knows that events may be missing: any event, or only decisions. */
  private any?: string;
  private decisions?: string;

  /** Notes the gap; false if the reader knows it. A rollback is always new, and the history after it has trims of its own. */
  note({ reason, missing, to }: MissedGap): boolean {
    if (reason === 'rollback') {
      this.any = undefined;
      this.decisions = undefined;
      return true;
    }
    const known = missing === 'any' ? [this.any] : [this.any, this.decisions];
    if (known.some((until) => until !== undefined && comparePositions(to, until) <= 0)) return false;
    this[missing] = to;
    return true;
  }
}
