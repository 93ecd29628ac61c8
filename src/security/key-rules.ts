/** What must hold before a key is made, rotated or revoked. Each check is a part of the transaction that it protects. */
import { nowSeconds } from '../shared/clock.js';
import { BrainError, type Fault, faulty, invalid } from '../shared/errors.js';
import { MAX_PAGE, type Page, type Store, type Tx } from '../storage/store.js';
import { type ApiKey, isExpired, isKeyId, KEYS, MILESTONES } from './api-key.js';
import type { Role } from './principal.js';

/** Every replica has all keys in memory. */
const MAX_KEYS = 10_000;
/** When the keys that speak for an agent by its name last changed. */
const LAST_NAMED = 'last_named_key';

export class KeyRules {
  constructor(private readonly store: Store) {}

  async requireKey(tx: Tx, id: string): Promise<ApiKey> {
    const key = isKeyId(id) ? await tx.get(KEYS, id) : undefined;
    if (key) return key;
    const detail = 'There is no API key with this id; GET /api/keys lists all keys.';
    throw new BrainError('not_found', 'key_not_found', detail);
  }

  /** The key is live, and no other live key has replaced it. */
  async requireRotatable(tx: Tx, id: string): Promise<ApiKey> {
    const key = await this.requireKey(tx, id);
    if (isExpired(key, this.store.clock())) {
      const detail = 'This API key has expired; make a new one with POST /api/keys.';
      throw new BrainError('conflict', 'key_expired', detail);
    }
    const successor = key.replaced_by === undefined ? undefined : await tx.get(KEYS, key.replaced_by);
    if (!successor || isExpired(successor, this.store.clock())) return key;
    const detail = `This API key was already replaced by ${successor.id}; rotate that one. If nobody has the new key itself, revoke it first.`;
    throw new BrainError('conflict', 'already_rotated', detail);
  }

  requireFuture(expires_at: number | null): void {
    if (!isExpired({ expires_at }, this.store.clock())) return;
    const detail = 'must be in the future, in Unix seconds';
    throw invalid('The key would already be expired; see errors.', [
      { pointer: '/expires_at', detail, code: 'in_the_past' },
    ]);
  }

  /** Two requests at the limit may both pass. The limit protects memory, so one key more does not matter. */
  async requireRoom(): Promise<void> {
    const { total = 0 } = await this.store.counts(KEYS);
    if (total < MAX_KEYS) return;
    const detail = `There are already ${MAX_KEYS} API keys; delete those that are no longer used.`;
    throw new BrainError('conflict', 'too_many_keys', detail);
  }

  async hasAdmin(): Promise<boolean> {
    for await (const _ of this.live({ role: 'admin' })) return true;
    return false;
  }

  /**
   * The list is not part of the transaction, but the transaction reads the admin key that was found in it. If two admins
   * delete each other's key at the same time, one of the commits fails, runs again, and finds no other admin. A key that was
   * rotated ends soon, so it does not count.
   */
  async requireAnotherAdmin(tx: Tx, id: string): Promise<void> {
    for await (const other of this.live({ role: 'admin' })) {
      if (other.id === id) continue;
      const read = await tx.get(KEYS, other.id);
      if (read && read.replaced_by === undefined) return;
    }
    const detail =
      'This is the last admin key: without it nobody could make another one. Make one first, or set BRAIN_BOOTSTRAP_KEY.';
    throw new BrainError('conflict', 'last_admin', detail);
  }

  /**
   * Two keys that speak for one agent by its name alone would be a mistake, so the second one must name its agents. The list is
   * not part of the transaction. `noteName` makes transactions at the same time run one after another.
   */
  async requireOwnName(tx: Tx, name: string): Promise<void> {
    await this.noteName(tx);
    for await (const other of this.live()) {
      if (other.name === name) throw faulty([agentsRequired('because another key has this name')]);
    }
  }

  /** Called also by a rotation: a list that is read at that time may have neither the old key nor the new one. */
  async noteName(tx: Tx): Promise<void> {
    const last = await tx.get(MILESTONES, LAST_NAMED);
    const mark = { id: LAST_NAMED, at: nowSeconds() };
    if (last) tx.put(MILESTONES, mark);
    else tx.insert(MILESTONES, mark);
  }

  private async *live(where?: { role: Role }): AsyncGenerator<ApiKey> {
    let cursor: string | undefined;
    do {
      const page: Page<ApiKey> = await this.store.list(KEYS, { where, limit: MAX_PAGE, cursor });
      for (const key of page.rows) if (!isExpired(key, this.store.clock())) yield key;
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
  }
}

export function agentsRequired(why: string): Fault {
  const detail = `is required ${why}; list the agents that the key may speak for`;
  return { pointer: '/agents', detail, code: 'required' };
}
