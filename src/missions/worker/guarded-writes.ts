/**
 * The writes of one run. Each write requires the lease, and that this run still holds the mission. A run that lost its mission, or
 * whose mission was cancelled, changes nothing any more, not even the log.
 */
import type { EventStream } from '../../events/event-stream.js';
import { pause } from '../../shared/clock.js';
import { isBrainError } from '../../shared/errors.js';
import type { Lease, Store } from '../../storage/store.js';
import { MissionWriter } from '../mission-writer.js';
import { MISSION_RESULTS, MISSIONS, resultId, type StoredMission } from '../missions.collection.js';
import { dueNow } from './due.js';

/** The pause between two attempts to write while the store is unavailable. The attempts end with the lease. */
const STORE_RETRY_MS = 500;

/** The fields that change when another worker or a client moves the mission. A new log line changes none of them. */
const OWNED_FIELDS = ['status', 'run_writes', 'due_at', 'held_by'] as const;

/** The run does not hold the mission any more. */
export class MissionLost extends Error {}

/** `keepLarge` stores the result of a step in a document of its own. */
export type Change = (writer: MissionWriter, keepLarge: (step: string, result: unknown) => void) => void;

export class GuardedWrites {
  /** True after the first write: the mission is RUNNING and held by this run. */
  isHeld = false;
  /** The value of `run_writes` after the last write of this run. */
  private writes: number;

  /** `found` is the mission as it was before the lease was acquired. */
  constructor(
    private readonly store: Store,
    private readonly events: EventStream | undefined,
    private readonly found: StoredMission,
    private readonly lease: Lease,
    private readonly signal: AbortSignal,
  ) {
    this.writes = found.run_writes;
  }

  /** Repeats the write while the store is unavailable, so that the result of a finished step is not lost. */
  async write(change: Change): Promise<StoredMission> {
    // A write that timed out may still be applied later, so every attempt of this write starts from the same number.
    const { writes } = this;
    for (;;) {
      try {
        const mission = await this.commit(change, writes);
        this.isHeld = true;
        this.writes = mission.run_writes;
        return mission;
      } catch (error) {
        if (!isBrainError(error) || error.kind !== 'unavailable' || this.signal.aborted) throw error;
        await pause(STORE_RETRY_MS, this.signal);
      }
    }
  }

  private commit(change: Change, writes: number): Promise<StoredMission> {
    return this.store.transaction(async (tx) => {
      tx.demand(this.lease);
      const mission = await tx.get(MISSIONS, this.found.id);
      const isMine = mission?.held_by === this.lease.fence;
      if (!mission || (this.isHeld && !isMine)) throw new MissionLost();
      // An earlier attempt of this write was applied, and only its answer got lost.
      if (isMine && mission.run_writes > writes) return mission;
      // A failover took back writes of this run. The next run continues from what is stored.
      if (isMine && mission.run_writes < writes) throw new MissionLost();
      const writer = new MissionWriter(tx, mission, this.events);
      if (!isMine) this.take(writer);
      const large: [string, unknown][] = [];
      change(writer, (step, result) => large.push([step, result]));
      for (const [step, result] of large) {
        const document = { id: resultId(mission.id, step), mission_id: mission.id, result };
        if (await tx.get(MISSION_RESULTS, document.id)) tx.put(MISSION_RESULTS, document);
        else tx.insert(MISSION_RESULTS, document);
      }
      writer.change({ run_writes: mission.run_writes + 1 });
      return writer.save();
    });
  }

  /**
   * The first write of a run takes the mission, but only as it was found. Between the search and the lease, another worker may have
   * run the mission, or a client may have ended it.
   */
  private take(writer: MissionWriter): void {
    const { current } = writer;
    if (OWNED_FIELDS.some((field) => current[field] !== this.found[field])) throw new MissionLost();
    if (current.status === 'PENDING') writer.move('RUNNING');
    else if (current.held_by !== null)
      writer.log('warning', 'Taken over: the worker that held the mission is gone');
    writer.change({ held_by: this.lease.fence, due_at: dueNow(this.store) });
  }
}
