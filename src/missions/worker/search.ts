/** Finds missions for the slots of a worker: missions that are due, and missions whose worker is gone. */
import type { Page, Store } from '../../storage/store.js';
import { HELD, MISSIONS, type StoredMission } from '../missions.collection.js';
import { PRIORITIES } from '../missions.lifecycle.js';
import { dueNow } from './due.js';
import type { Slots } from './slots.js';

/** How many missions a search lists beyond the free slots, because other workers may have taken some of them. */
const SPARE = 10;
/** Most held missions have a living worker, so they are searched page by page. */
const HELD_PAGE = 100;
/** An agent may have many due missions in front of those of others. A look behind them reads pages for so long at most. */
const LOOK_MS = 20;
const LOOK_PAGE = 25;
/** The pause between two looks, because they read many missions and take few. */
const LOOK_PAUSE_MS = 200;

type PageAt = (most: number, cursor?: string) => Promise<Page<StoredMission>>;

export class MissionSearch {
  /** The page of held missions at which `takeAbandoned` continues. */
  private heldCursor?: string;
  /** For each priority, where the next look behind passed-over missions continues. */
  private readonly passedCursors = new Map<string, string>();
  private lookedMs = Number.NEGATIVE_INFINITY;
  private mayLook = true;
  /** Missions of others may be due behind those that were passed over. */
  private someAreHidden = false;

  constructor(
    private readonly store: Store,
    private readonly slots: Slots,
    private readonly warn: (error: unknown) => void,
  ) {}

  /** The last look behind passed-over missions was too short. */
  get isLooking(): boolean {
    return this.passedCursors.size > 0;
  }

  /** Takes due missions until no slot or no mission is left. Returns whether due missions remain without a slot. */
  async takeDue(): Promise<boolean> {
    this.slots.forgetPassedOver();
    this.mayLook = performance.now() - this.lookedMs >= LOOK_PAUSE_MS;
    for (;;) {
      const until = dueNow(this.store);
      // Missions that runs of this worker have not yet marked as held are still in the index of due missions.
      const limit = this.slots.count - this.slots.heldCount + SPARE;
      this.someAreHidden = false;
      const lists = await Promise.all(PRIORITIES.map((priority) => this.listDue(priority, limit, until)));
      const due = lists.flat();
      if (this.slots.isClosed) return false;
      const { free } = this.slots;
      if (free === 0) return due.length > 0 || this.someAreHidden;
      const tookAny = await this.slots.fill(due);
      if (!tookAny || due.length <= free) return false;
    }
  }

  /**
   * Takes missions that are held under a lease that is over: their worker was killed, or lost the store. Returns whether all held
   * missions were looked at. If the slots ran out before, the next call continues.
   */
  async takeAbandoned(): Promise<boolean> {
    let cursor = this.heldCursor;
    // Reset first: after an error the next call starts over.
    this.heldCursor = undefined;
    while (this.slots.free > 0) {
      const query = { where: { due: HELD }, direction: 'asc', limit: HELD_PAGE, cursor } as const;
      const { rows, next } = await this.store.list(MISSIONS, query);
      const others = rows.filter(({ id }) => !this.slots.has(id));
      await this.slots.fill(others, { begun: true });
      if (this.slots.free === 0) break;
      if (next === null) return true;
      cursor = next;
    }
    // This page may have more abandoned missions.
    this.heldCursor = cursor;
    return false;
  }

  /** Lists each priority by itself, so that unreadable missions of one priority do not block the others. */
  private async listDue(priority: string, limit: number, until: number): Promise<StoredMission[]> {
    try {
      const list: PageAt = (most, cursor) =>
        this.store.list(MISSIONS, { where: { due: priority }, until, direction: 'asc', limit: most, cursor });
      const { rows, next } = await firstOf(list, limit);
      const fitting = this.fitting(rows);
      const isCrowded = next !== null && rows.some((mission) => this.slots.passesOver(mission));
      if (!isCrowded) this.passedCursors.delete(priority);
      if (!isCrowded || fitting.length > this.slots.free) return fitting;
      this.someAreHidden = true;
      if (this.slots.free === 0 || !this.mayLook) return fitting;
      this.lookedMs = performance.now();
      const cursor = this.passedCursors.get(priority) ?? next;
      return [...fitting, ...(await this.lookBehind(priority, cursor, (at) => list(LOOK_PAGE, at)))];
    } catch (error) {
      this.warn(error);
      return [];
    }
  }

  /**
   * Looks for missions of others behind those that are passed over. What one look does not reach the next one does, so every
   * mission is found, however many are in front of it.
   */
  private async lookBehind(
    priority: string,
    from: string,
    pageAt: (cursor: string) => Promise<Page<StoredMission>>,
  ): Promise<StoredMission[]> {
    const found: StoredMission[] = [];
    const startedMs = performance.now();
    let cursor: string | null = from;
    this.passedCursors.delete(priority);
    while (cursor !== null && found.length < this.slots.free) {
      if (performance.now() - startedMs > LOOK_MS) {
        this.passedCursors.set(priority, cursor);
        break;
      }
      const { rows, next } = await pageAt(cursor);
      found.push(...this.fitting(rows));
      cursor = next;
    }
    return found;
  }

  private fitting(rows: StoredMission[]): StoredMission[] {
    return rows.filter((mission) => !this.slots.has(mission.id) && !this.slots.passesOver(mission));
  }
}

/** A page with large missions is shorter than its limit, so several pages may be needed. */
async function firstOf(list: PageAt, limit: number): Promise<Omit<Page<StoredMission>, 'total'>> {
  const rows: StoredMission[] = [];
  let next: string | null = null;
  do {
    const page = await list(limit - rows.length, next ?? undefined);
    rows.push(...page.rows);
    next = page.next;
  } while (next !== null && rows.length < limit);
  return { rows, next };
}
