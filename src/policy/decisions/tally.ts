/**
 * Counts decisions. No decision waits for it: it counts in memory and writes several times a second. Each process writes its
 * own document, and it writes sums instead of increments, so a repeated write changes nothing. `kill -9` loses only the
 * counts that were not written yet.
 */
import { type BeforeApplicationShutdown, Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { DAY_SECONDS, nowSeconds } from '../../shared/clock.js';
import { messageOf } from '../../shared/errors.js';
import { randomId } from '../../shared/ids.js';
import { Logger } from '../../shared/logger.js';
import { Store } from '../../storage/store.js';
import type { Verdict } from '../engine/policy.dto.js';
import { TALLIES, type Tally } from './tally.collection.js';

const WRITE_EVERY_MS = 250;
/** The document for the counts of processes that have written nothing for a day. */
const FORMER = 'former';
const FORMER_AFTER_SECONDS = DAY_SECONDS;
const FOLD_EVERY_MS = 3_600_000;
const NONE: Tally = { evaluations: 0, allows: 0, denies: 0, warnings: 0, audits: 0 };

@Injectable()
export class DecisionTally implements OnModuleInit, BeforeApplicationShutdown {
  private readonly id = randomId(12);
  /** The counts since the start of this process. */
  private readonly total = { ...NONE };
  private written = NONE;
  /** The part of `total` that was moved to the former counts while this process wrote nothing for a day. */
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
    this.timer ??= setTimeout(() => void this.flush(), WRITE_EVERY_MS).unref();
  }

  /** The totals of all replicas. The latest counts of this process are written first. */
  async sums(): Promise<Tally> {
    await this.flush();
    const counts = await this.store.counts(TALLIES);
    return combined(NONE, counts, 1);
  }

  /** Moves the counts of ended processes into one document, so that the number of documents stays small. */
  async fold(): Promise<void> {
    try {
      const until = nowSeconds() - FORMER_AFTER_SECONDS;
      const { rows } = await this.store.list(TALLIES, { until, direction: 'asc', limit: 500 });
      for (const { id } of rows) if (id !== FORMER) await this.foldOne(id, until);
    } catch (error) {
      this.logger.debug('the counts of ended processes could not be added up', { reason: messageOf(error) });
    }
  }

  private foldOne(id: string, until: number): Promise<void> {
    return this.store.transaction(async (tx) => {
      const old = await tx.get(TALLIES, id);
      if (!old || old.written_at > until) return;
      const former = await tx.get(TALLIES, FORMER);
      const sum = { id: FORMER, written_at: nowSeconds(), ...combined(former ?? NONE, old, 1) };
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
        // Another process has moved our document. If the answer to this write is lost, `written` stays the same, so the
        // repeated write computes the same value.
        if (!before) this.folded = this.written;
        const tally = { id: this.id, written_at: nowSeconds(), ...combined(total, this.folded, -1) };
        if (before) tx.put(TALLIES, tally);
        else tx.insert(TALLIES, tally);
      });
      this.written = total;
    } catch (error) {
      this.logger.debug('the decision counts could not be written; the next attempt follows', {
        reason: messageOf(error),
      });
      this.timer ??= setTimeout(() => void this.flush(), WRITE_EVERY_MS).unref();
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
