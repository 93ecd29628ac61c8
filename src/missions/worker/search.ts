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

export class MissionSearch {
  /** The page of held missions at which `takeAbandoned` continues. */
  private heldCursor?: string;

  constructor(
    private readonly store: Store,
    private readonly slots: Slots,
    private readonly warn: (error: unknown) => void,
  ) {}

  /** Takes due missions until no slot or no mission is left. Returns whether due missions remain without a slot. */
  async takeDue(): Promise<boolean> {
    for (;;) {
      const until = dueNow(this.store);
      // Missions that runs of this worker have not yet marked as held are still in the index of due missions.
      const limit = this.slots.count - this.slots.heldCount + SPARE;
      const lists = await Promise.all(PRIORITIES.map((priority) => this.listDue(priority, limit, until)));
      const due = lists.flat();
      if (this.slots.isClosed) return false;
      const { free } = this.slots;
      if (free === 0) return due.length > 0;
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
      await this.slots.fill(rows.filter(({ id }) => !this.slots.has(id)));
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
      return (await this.firstDue(priority, limit, until)).filter(({ id }) => !this.slots.has(id));
    } catch (error) {
      this.warn(error);
      return [];
    }
  }

  /** A page with large missions is shorter than its limit, so several pages may be needed. */
  private async firstDue(priority: string, limit: number, until: number): Promise<StoredMission[]> {
    const found: StoredMission[] = [];
    let cursor: string | undefined;
    do {
      const query = { where: { due: priority }, until, direction: 'asc' } as const;
      const left = limit - found.length;
      const page: Page<StoredMission> = await this.store.list(MISSIONS, { ...query, limit: left, cursor });
      found.push(...page.rows);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined && found.length < limit);
    return found;
  }
}
