/** One write to a mission within a transaction: it changes the document, adds to the log, and publishes the events of both. */
import type { EventStream } from '../events/event-stream.js';
import { nowSeconds } from '../shared/clock.js';
import type { Tx } from '../storage/store.js';
import type { LogEntry, LogLevel } from './log.dto.js';
import { MISSIONS, type StoredMission } from './missions.collection.js';
import { missionCreated, missionLogAppended, missionStatusChanged } from './missions.events.js';
import { hasEnded, type MissionStatus } from './missions.lifecycle.js';

/** A full log drops new entries and counts them. Otherwise one mission could fill the store. */
const MAX_LOG_ENTRIES = 10_000;
const MAX_LOG_MIB = 8;
/** The longest log message and reason that the service itself writes. */
export const MAX_MESSAGE = 1024;

export class MissionWriter {
  constructor(
    private readonly tx: Tx,
    private mission: StoredMission,
    private readonly events: EventStream | undefined,
  ) {}

  static create(tx: Tx, mission: StoredMission, events: EventStream | undefined): StoredMission {
    const writer = new MissionWriter(tx, mission, events);
    tx.insert(MISSIONS, mission);
    events?.publish(missionCreated(mission), tx);
    writer.log('info', 'Mission created');
    return writer.put(mission.version);
  }

  /** The mission with all changes so far. */
  get current(): StoredMission {
    return this.mission;
  }

  change(change: Partial<StoredMission>): void {
    this.mission = { ...this.mission, ...change };
  }

  move(to: MissionStatus, reason?: string): void {
    const { id, status: from } = this.mission;
    const now = nowSeconds();
    this.change({ status: to });
    if (to === 'RUNNING') this.change({ started_at: now, attempts: this.mission.attempts + 1 });
    if (to === 'PENDING') this.change({ started_at: null, finished_at: null, error: null });
    if (hasEnded(to)) this.change({ finished_at: now, due_at: null, held_by: null, waiting: null });
    this.events?.publish(missionStatusChanged(id, from, to, reason), this.tx);
    this.log('info', 'Mission status changed', { from, to, ...(reason !== undefined && { reason }) });
  }

  log(level: LogLevel, message: string, data: Record<string, unknown> = {}, timestamp = nowSeconds()): void {
    const { id, log_entries, log_bytes, log_cut } = this.mission;
    if (isFull(this.mission)) {
      this.change({ log_cut: log_cut + 1 });
      return;
    }
    const entry = { timestamp, level, message, data };
    this.append(entry);
    const bytes = Buffer.byteLength(JSON.stringify(entry));
    this.change({ log_entries: log_entries + 1, log_bytes: log_bytes + bytes });
    if (!isFull(this.mission)) return;
    const full = `The log is full: it keeps at most ${MAX_LOG_ENTRIES} entries or ${MAX_LOG_MIB} MiB. Later entries are counted and dropped.`;
    this.append({ timestamp: nowSeconds(), level: 'warning', message: full, data: { mission: id } });
  }

  /** Puts the changed mission into the transaction, as its next version. */
  save(): StoredMission {
    return this.put(this.mission.version + 1);
  }

  private put(version: number): StoredMission {
    this.change({ version, updated_at: nowSeconds() });
    this.tx.put(MISSIONS, this.mission);
    return this.mission;
  }

  private append(entry: LogEntry): void {
    this.tx.append(MISSIONS, this.mission.id, entry);
    this.events?.publish(missionLogAppended(this.mission.id, entry), this.tx);
  }
}

function isFull({ log_entries, log_bytes }: StoredMission): boolean {
  return log_entries >= MAX_LOG_ENTRIES || log_bytes >= MAX_LOG_MIB * 2 ** 20;
}
