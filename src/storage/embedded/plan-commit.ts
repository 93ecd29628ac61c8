/** Checks a plan against the tables and writes it, inside one commit of the data file. */
import { digest } from '../../shared/ids.js';
import {
  assumptionsOf,
  documentKey,
  type Outcome,
  type Plan,
  type PlannedDocument,
  type PlannedEntry,
  type PlannedLimit,
  type PlannedUnique,
  type PlannedValues,
  readsOf,
} from '../plan.js';
import type { EmbeddedDatabase, Key } from './database.js';
import type { EmbeddedEventLog } from './embedded-event-log.js';
import type { IdempotencyRecords } from './idempotency-records.js';
import { type EmbeddedIndex, under } from './indexes.js';
import type { EmbeddedLeases } from './leases.js';

export class PlanCommit {
  constructor(
    private readonly db: EmbeddedDatabase,
    private readonly index: EmbeddedIndex,
    private readonly leases: EmbeddedLeases,
    private readonly records: IdempotencyRecords,
    private readonly log: EmbeddedEventLog,
  ) {}

  /** Only inside a commit. All checks come before the first write. */
  run(plan: Plan): Outcome {
    return this.check(plan) ?? this.write(plan);
  }

  /** The idempotency record is checked first: a repeated request gets its answer, whatever else has changed. */
  private check(plan: Plan): Outcome | undefined {
    const { record } = plan;
    if (record && this.records.get(record.key) !== record.before)
      return { status: 'changed', what: `idempotency record ${record.key}` };
    for (const lease of plan.leases)
      if (!this.leases.holds(lease)) return { status: 'lease_lost', name: lease.name };
    const values = this.checkValues(readsOf(plan)) ?? this.checkValues(assumptionsOf(plan));
    return values ?? this.checkLimits(plan.limits);
  }

  private checkLimits(limits: PlannedLimit[]): Outcome | undefined {
    const full = limits.find(
      ({ collection, index, value, most }) => this.index.rowCount(collection, index, value) >= most,
    );
    return full && { status: 'full', refusal: full.refusal };
  }

  private checkValues({ documents, uniques }: PlannedValues): Outcome | undefined {
    return this.checkDocuments(documents) ?? this.checkUniques(uniques);
  }

  private checkDocuments(documents: PlannedDocument[]): Outcome | undefined {
    for (const { collection, id, before, wasRead } of documents) {
      const now = this.db.docs.get([collection.name, id]);
      if (now === before?.json) continue;
      return { status: wasRead ? 'changed' : 'taken', what: documentKey(collection, id) };
    }
    return undefined;
  }

  private checkUniques(uniques: PlannedUnique[]): Outcome | undefined {
    for (const { collection, name, value, wasRead, before } of uniques) {
      const now = this.db.uniques.get([collection.name, name, digest(value)]);
      if (now === before) continue;
      const status = wasRead || before !== undefined ? 'changed' : 'taken';
      return { status, what: `${collection.name}.${name}` };
    }
    return undefined;
  }

  private write(plan: Plan): Outcome {
    for (const document of plan.documents) if (document.written) this.writeDocument(document);
    for (const { collection, name, value, after, written } of plan.uniques) {
      if (!written) continue;
      const key = [collection.name, name, digest(value)];
      if (after === undefined) this.db.uniques.removeSync(key);
      else this.db.uniques.putSync(key, after);
    }
    for (const entry of plan.appends) this.appendEntry(entry);
    if (plan.record?.after !== undefined) this.records.put(plan.record.key, plan.record.after);
    return { status: 'done', position: plan.events.length > 0 ? this.log.write(plan.events) : undefined };
  }

  private writeDocument({ collection, id, before, after }: PlannedDocument): void {
    const key = [collection.name, id];
    if (after) this.db.docs.putSync(key, after.json);
    else {
      this.db.docs.removeSync(key);
      for (const { key: entry } of [...this.db.entries.getRange(under(key))])
        this.db.entries.removeSync(entry);
    }
    this.index.move(collection, id, before?.doc, after?.doc);
  }

  private appendEntry({ collection, id, json, keep }: PlannedEntry): void {
    const list: Key = [collection.name, id];
    const start = [...list, 0];
    const end = [...list, Number.MAX_VALUE];
    const [last] = [...this.db.entries.getKeys({ start: end, end: start, reverse: true, limit: 1 })];
    const number = last ? Number(last[2]) + 1 : 1;
    this.db.entries.putSync([...list, number], json);
    if (keep === undefined) return;
    const old = [...this.db.entries.getKeys({ start, end: [...list, number - keep + 1] })];
    for (const key of old) this.db.entries.removeSync(key);
  }
}
