/**
 * Counts decisions. No decision waits for it: counts are gathered in memory and written several times a second, by each
 * process into a document of its own. What is written are sums, not additions, so writing them twice changes nothing; what a
 * killed process had not written is lost, and nothing else. The sums over all processes are counters of the collection.
 */
import { type BeforeApplicationShutdown, Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { DAY_SECONDS, nowSeconds } from '../../shared/clock.js';
import { messageOf } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import { Logger } from '../../shared/logger.js';
import { type Collection, Store } from '../../storage/store.js';
import type { Verdict } from '../engine/policy.dto.js';

export interface Tally {
  evaluations: number;
  allows: number;
  denies: number;
  warnings: number;
  audits: number;
}

interface ProcessTally extends Tally {
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

const EVERY_MS = 250;
/** Where the tallies of processes go that have written nothing for so long. */
const FORMER = 'former';
const FORMER_SECONDS = DAY_SECONDS;
const FOLD_EVERY_MS = 3_600_000;
const NONE: Tally = { evaluations: 0, allows: 0, denies: 0, warnings: 0, audits: 0 };

@Injectable()
export class DecisionTally implements OnModuleInit, BeforeApplicationShutdown {
  private readonly id = randomId(12);
  /** Since the start of this process. */
  private readonly total = { ...NONE };
  private written = NONE;
  /** What of it went to the former ones, because nothing was written for a day. */
  private folded = NONE;
  private timer?: NodeJS.Timeout;
  private folding?: NodeJS.Timeout;
  private writing?: Promise<void>;

  constructor(
    @Inject(Store) private readonly store: Store,
    private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.store.declare(TALLIES);
    this.folding = setInterval(() => void this.fold(), FOLD_EVERY_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.folding);
    await this.flush();
    clearTimeout(this.timer);
  }

  count({ effect, allowed }: Verdict): void {
    const { total } = this;
    total.evaluations += 1;
    if (allowed) total.allows += 1;
    else total.denies += 1;
    if (effect === 'warn') total.warnings += 1;
    if (effect === 'audit') total.audits += 1;
    this.timer ??= setTimeout(() => void this.flush(), EVERY_MS).unref();
  }

  /** Over all replicas, what this one has just counted included. */
  async sums(): Promise<Tally> {
    await this.flush();
    const counts = await this.store.counts(TALLIES);
    return combined(NONE, counts, 1);
  }

  /** Adds up the tallies of processes that are gone, so that there are never more of them than a day leaves. */
  async fold(): Promise<void> {
    try {
      const until = nowSeconds() - FORMER_SECONDS;
      const { rows } = await this.store.list(TALLIES, { until, direction: 'asc', limit: 500 });
      for (const { id } of rows) if (id !== FORMER) await this.foldOne(id, until);
    } catch (error) {
      this.logger.debug('former tallies were not added up', { reason: messageOf(error) });
    }
  }

  private foldOne(id: string, until: number): Promise<void> {
    return this.store.transaction(async (tx) => {
      const gone = await tx.get(TALLIES, id);
      if (!gone || gone.written_at > until) return;
      const former = await tx.get(TALLIES, FORMER);
      const sum = { id: FORMER, written_at: nowSeconds(), ...combined(former ?? NONE, gone, 1) };
      tx.delete(TALLIES, id);
      if (former) tx.put(TALLIES, sum);
      else tx.insert(TALLIES, sum);
    });
  }

  private async flush(): Promise<void> {
    await this.writing;
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.total.evaluations === this.written.evaluations) return;
    this.writing ??= this.write().finally(() => {
      this.writing = undefined;
    });
    await this.writing;
  }

  private async write(): Promise<void> {
    const total = { ...this.total };
    try {
      await this.store.transaction(async (tx) => {
        const before = await tx.get(TALLIES, this.id);
        // Kept though the answer may get lost: what was written last stays the same until one comes.
        if (!before) this.folded = this.written;
        const tally = { id: this.id, written_at: nowSeconds(), ...combined(total, this.folded, -1) };
        if (before) tx.put(TALLIES, tally);
        else tx.insert(TALLIES, tally);
      });
      this.written = total;
    } catch (error) {
      this.logger.debug('decisions could not be counted yet', { reason: messageOf(error) });
      this.timer ??= setTimeout(() => void this.flush(), EVERY_MS).unref();
    }
  }
}

function combined(one: Tally, other: Partial<Tally>, sign: 1 | -1): Tally {
  return {
    evaluations: one.evaluations + sign * (other.evaluations ?? 0),
    allows: one.allows + sign * (other.allows ?? 0),
    denies: one.denies + sign * (other.denies ?? 0),
    warnings: one.warnings + sign * (other.warnings ?? 0),
    audits: one.audits + sign * (other.audits ?? 0),
  };
}
