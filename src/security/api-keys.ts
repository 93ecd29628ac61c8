/** Makes, lists and revokes API keys. The KeyRing finds the principal of a key, from memory. */
import type { Config } from '../config/config.js';
import type { EventStream } from '../events/event-stream.js';
import { DAY_SECONDS, nowSeconds } from '../shared/clock.js';
import { BrainError, type Fault, faulty, invalid } from '../shared/errors.js';
import { entryFaults } from '../shared/id-list.js';
import type { Logger } from '../shared/logger.js';
import { pageOf } from '../storage/page.js';
import { type IdempotencyKey, MAX_PAGE, type Page, type Store, type Tx } from '../storage/store.js';
import { keyCreated, keyRevoked } from './access.events.js';
import {
  type ApiKey,
  DEFAULT_LISTS,
  digestOf,
  FIRST_KEY,
  isExpired,
  isKeyId,
  KEYS,
  type KeyLists,
  MILESTONES,
  makeKey,
  makeKeyId,
  mayBeAgent,
} from './api-key.js';
import type { KeyRing } from './key-ring.js';
import type { KeyQuery } from './keys.dto.js';
import type { Role } from './principal.js';

export interface KeyRequest {
  name: string;
  role: Role;
  agents?: readonly string[];
  agent_roles?: readonly string[];
  owner?: string | null;
  expires_at?: number | null;
}

/** A key without its hash. */
export type KeyInfo = Omit<ApiKey, 'hash' | keyof KeyLists | 'owner'> & KeyLists & { owner: string | null };

/** Every replica has all keys in memory. */
const MAX_KEYS = 10_000;
/** An expired key stays in the list for some time, so that people find out why a client stopped working. */
const EXPIRED_KEPT_SECONDS = 30 * DAY_SECONDS;
/** Each new key removes up to this many expired ones, so that they do not accumulate. */
const REMOVE_AT_ONCE = 10;
/** When a key was last made whose agent is its name. */
const LAST_NAMED = 'last_named_key';

const ADMIN_LISTS = requestedLists({ name: 'admin', role: 'admin' });

export class ApiKeys {
  constructor(
    private readonly store: Store,
    private readonly ring: KeyRing,
    private readonly logger: Logger,
    private readonly settings: Pick<Config, 'bootstrapKey'>,
    private readonly events?: EventStream,
  ) {}

  /** Only the answer to the first request has the key itself. The answer to a repetition does not. */
  async create(
    request: KeyRequest,
    by: string,
    idempotency?: IdempotencyKey,
  ): Promise<KeyInfo & { key?: string }> {
    await this.removeLongExpired();
    const key = makeKey();
    const { name, role, owner = null, expires_at = null } = request;
    const lists = requestedLists(request);
    const who = { id: makeKeyId(), name, role, ...lists, owner };
    const mine = { ...who, created_at: nowSeconds(), created_by: by, expires_at };
    const made = await this.store.transaction(
      async (tx) => {
        // Inside the transaction, because a repetition gets the first answer even if the key has expired since then.
        this.requireFuture(expires_at);
        await this.requireRoom();
        if (role === 'agent' && !request.agents) await this.requireOwnName(tx, name);
        await this.insert(tx, { ...mine, hash: digestOf(key) });
        return mine;
      },
      { idempotency, essential: true },
    );
    // Another id comes from an earlier request with the same Idempotency-Key.
    if (made.id !== mine.id) return made;
    await this.ring.refresh();
    this.logger.info('API key made', { key_id: mine.id, role, by });
    return { ...mine, key };
  }

  /** Makes this key an admin if the installation has never had a key. Returns whether it did. */
  async createFirst(key: string, name: string): Promise<boolean> {
    const id = makeKeyId();
    const made = await this.store.transaction(async (tx) => {
      if (await tx.get(MILESTONES, FIRST_KEY)) return false;
      const who = { id, name, role: 'admin', ...ADMIN_LISTS, owner: null } as const;
      const made = { created_at: nowSeconds(), created_by: 'bootstrap', expires_at: null };
      await this.insert(tx, { ...who, ...made, hash: digestOf(key) });
      return true;
    });
    if (made) await this.ring.refresh();
    return made;
  }

  list({ limit, cursor, members }: KeyQuery): Promise<Page<KeyInfo>> {
    return pageOf(this.store, KEYS, { limit, cursor }, { of: (key) => this.infoOf(key), members });
  }

  async remove(id: string, by: string): Promise<void> {
    const revoked = await this.store.transaction(async (tx) => {
      const key = isKeyId(id) ? await tx.get(KEYS, id) : undefined;
      if (!key) throw noSuchKey();
      if (
        key.role === 'admin' &&
        !isExpired(key, this.store.clock()) &&
        this.settings.bootstrapKey === null
      ) {
        await this.requireAnotherAdmin(tx, id);
      }
      tx.delete(KEYS, id);
      return key;
    });
    this.events?.publish(keyRevoked(revoked, by));
    // This replica refuses the key from now on, the others do within a second.
    await this.ring.refresh();
    this.logger.info('API key revoked', { key_id: id, role: revoked.role, by });
  }

  async hasAdmin(): Promise<boolean> {
    for await (const _ of this.live({ role: 'admin' })) return true;
    return false;
  }

  private requireFuture(expires_at: number | null): void {
    if (!isExpired({ expires_at }, this.store.clock())) return;
    const detail = 'must be in the future, in Unix seconds';
    throw invalid('The key would already be expired; see errors.', [
      { pointer: '/expires_at', detail, code: 'in_the_past' },
    ]);
  }

  private async insert(tx: Tx, key: ApiKey & KeyLists): Promise<void> {
    if (!(await tx.get(MILESTONES, FIRST_KEY))) tx.insert(MILESTONES, { id: FIRST_KEY, at: key.created_at });
    tx.insert(KEYS, key);
    this.events?.publish(keyCreated(key), tx);
  }

  /**
   * The list is not part of the transaction, but the transaction reads the admin key that was found in it. If two admins
   * delete each other's key at the same time, one of the commits fails, runs again, and finds no other admin.
   */
  private async requireAnotherAdmin(tx: Tx, id: string): Promise<void> {
    for await (const other of this.live({ role: 'admin' })) {
      if (other.id !== id && (await tx.get(KEYS, other.id))) return;
    }
    const detail =
      'This is the last admin key: without it nobody could make another one. Make one first, or set BRAIN_BOOTSTRAP_KEY.';
    throw new BrainError('conflict', 'last_admin', detail);
  }

  /**
   * Two keys that speak for one agent by its name alone would be a mistake, so the second one must name its agents. The list is
   * not part of the transaction. A milestone, which each such create writes, makes two creates at the same time run one after
   * another.
   */
  private async requireOwnName(tx: Tx, name: string): Promise<void> {
    const last = await tx.get(MILESTONES, LAST_NAMED);
    const mark = { id: LAST_NAMED, at: nowSeconds() };
    if (last) tx.put(MILESTONES, mark);
    else tx.insert(MILESTONES, mark);
    for await (const other of this.live()) {
      if (other.name === name) throw faulty([agentsRequired('because another key has this name')]);
    }
  }

  private infoOf(key: ApiKey): KeyInfo {
    const { hash: _hash, owner = null, ...info } = key;
    return { ...info, ...this.ring.listsOf(key), owner };
  }

  private async *live(where?: { role: Role }): AsyncGenerator<ApiKey> {
    let cursor: string | undefined;
    do {
      const page: Page<ApiKey> = await this.store.list(KEYS, {
        where,
        limit: MAX_PAGE,
        cursor,
      });
      for (const key of page.rows) if (!isExpired(key, this.store.clock())) yield key;
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
  }

  /** Two requests at the limit may both pass. The limit protects memory, so one key more does not matter. */
  private async requireRoom(): Promise<void> {
    const { total = 0 } = await this.store.counts(KEYS);
    if (total < MAX_KEYS) return;
    const detail = `There are already ${MAX_KEYS} API keys; delete those that are no longer used.`;
    throw new BrainError('conflict', 'too_many_keys', detail);
  }

  private async removeLongExpired(): Promise<void> {
    const until = this.store.clock().earliest - EXPIRED_KEPT_SECONDS;
    const query = { where: { expiry: 'expires' }, until, direction: 'asc', limit: REMOVE_AT_ONCE } as const;
    const { rows } = await this.store.list(KEYS, query);
    if (rows.length === 0) return;
    await this.store.transaction(async (tx) => {
      for (const { id } of rows) if (await tx.get(KEYS, id)) tx.delete(KEYS, id);
    });
  }
}

/** The lists of a new key. Throws for all faulty entries at once. */
function requestedLists({ name, role, agents, agent_roles }: KeyRequest): KeyLists {
  const defaults = DEFAULT_LISTS[role];
  const faults = [...entryFaults(agents ?? [], '/agents'), ...entryFaults(agent_roles ?? [], '/agent_roles')];
  if (!agents && !defaults.agents && !mayBeAgent(name))
    faults.push(agentsRequired('because the name cannot be the id of an agent'));
  if (faults.length > 0) throw faulty(faults);
  return { agents: agents ?? defaults.agents ?? [name], agent_roles: agent_roles ?? defaults.agent_roles };
}

function agentsRequired(why: string): Fault {
  const detail = `is required ${why}; list the agents that the key may speak for`;
  return { pointer: '/agents', detail, code: 'required' };
}

function noSuchKey(): BrainError {
  const detail = 'There is no API key with this id; GET /api/keys lists all keys.';
  return new BrainError('not_found', 'key_not_found', detail);
}
