/** Makes, rotates, lists and revokes API keys. The KeyRing finds the principal of a key, from memory. */
import type { Config } from '../config/config.js';
import type { EventStream } from '../events/event-stream.js';
import { DAY_SECONDS, nowSeconds } from '../shared/clock.js';
import { faulty } from '../shared/errors.js';
import { entryFaults } from '../shared/id-list.js';
import type { Logger } from '../shared/logger.js';
import { pageOf } from '../storage/page.js';
import { type IdempotencyKey, type Page, type Store, type Tx } from '../storage/store.js';
import { keyCreated, keyRevoked, keyRotated } from './access.events.js';
import {
  type ApiKey,
  DEFAULT_LISTS,
  digestOf,
  FIRST_KEY,
  isExpired,
  KEY_USES,
  KEYS,
  type KeyLists,
  MILESTONES,
  makeKey,
  makeKeyId,
  mayBeAgent,
  REPORTED,
} from './api-key.js';
import type { KeyRing } from './key-ring.js';
import { rotated } from './key-rotation.js';
import { agentsRequired, KeyRules } from './key-rules.js';
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

/** What those who manage keys may know of a key. */
export interface KeyInfo extends KeyLists {
  id: string;
  name: string;
  role: Role;
  owner: string | null;
  created_at: number;
  created_by: string;
  expires_at: number | null;
  rotated_from: string | null;
  replaced_by: string | null;
}

/** Only the answer to the first request has the key itself. The answer to a repetition does not. */
type Made = KeyInfo & { key?: string };

/** An expired key stays in the list for some time, so that people find out why a client stopped working. */
const EXPIRED_KEPT_SECONDS = 30 * DAY_SECONDS;
/** Each new key removes up to this many expired ones, so that they do not accumulate. */
const REMOVE_AT_ONCE = 10;

const ADMIN_LISTS = requestedLists({ name: 'admin', role: 'admin' });

export class ApiKeys {
  private readonly rules: KeyRules;

  constructor(
    private readonly store: Store,
    private readonly ring: KeyRing,
    private readonly logger: Logger,
    private readonly settings: Pick<Config, 'bootstrapKey'>,
    private readonly events?: EventStream,
  ) {
    this.rules = new KeyRules(store);
  }

  async create(request: KeyRequest, by: string, idempotency?: IdempotencyKey): Promise<Made> {
    await this.removeLongExpired();
    const key = makeKey();
    const { name, role, owner = null, expires_at = null } = request;
    const who = { id: makeKeyId(), name, role, ...requestedLists(request), owner };
    const mine = { ...who, created_at: nowSeconds(), created_by: by, expires_at, hash: digestOf(key) };
    const made = await this.store.transaction(
      async (tx) => {
        // Inside the transaction, because a repetition gets the first answer even if the key has expired since then.
        this.rules.requireFuture(expires_at);
        await this.rules.requireRoom();
        if (role === 'agent' && !request.agents) await this.rules.requireOwnName(tx, name);
        await this.insert(tx, mine);
        return this.infoOf(mine);
      },
      { idempotency, essential: true },
    );
    // Another id comes from an earlier request with the same Idempotency-Key.
    if (made.id !== mine.id) return made;
    await this.ring.refresh();
    this.logger.info('API key made', { key_id: mine.id, role, by });
    return { ...made, key };
  }

  /** Replaces a key by a new one with the same rights. Both are valid until the overlap ends. */
  async rotate(
    id: string,
    overlapSeconds: number,
    by: string,
    idempotency?: IdempotencyKey,
  ): Promise<Made & { overlap_until: number }> {
    await this.removeLongExpired();
    const key = makeKey();
    const mine = { id: makeKeyId(), hash: digestOf(key), created_at: nowSeconds(), created_by: by };
    const made = await this.store.transaction(
      async (tx) => {
        const old = await this.rules.requireRotatable(tx, id);
        await this.rules.requireRoom();
        if (old.role === 'agent') await this.rules.noteName(tx);
        const { latest } = this.store.clock();
        const { before, after } = rotated(old, this.ring.listsOf(old), { ...mine, latest, overlapSeconds });
        tx.put(KEYS, before);
        await this.insert(tx, after);
        this.events?.publish(keyRotated(before, after, before.expires_at), tx);
        return { ...this.infoOf(after), overlap_until: before.expires_at };
      },
      { idempotency, essential: true },
    );
    if (made.id !== mine.id) return made;
    await this.ring.refresh();
    this.logger.info('API key rotated', { key_id: id, new_key_id: mine.id, role: made.role, by });
    return { ...made, key };
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
      const key = await this.rules.requireKey(tx, id);
      if (
        key.role === 'admin' &&
        !isExpired(key, this.store.clock()) &&
        this.settings.bootstrapKey === null
      ) {
        await this.rules.requireAnotherAdmin(tx, id);
      }
      await removeWithUse(tx, id);
      return key;
    });
    this.events?.publish(keyRevoked(revoked, by));
    // This replica refuses the key from now on, the others do within a second.
    await this.ring.refresh();
    this.logger.info('API key revoked', { key_id: id, role: revoked.role, by });
  }

  hasAdmin(): Promise<boolean> {
    return this.rules.hasAdmin();
  }

  private async insert(tx: Tx, key: ApiKey & KeyLists): Promise<void> {
    if (!(await tx.get(MILESTONES, FIRST_KEY))) tx.insert(MILESTONES, { id: FIRST_KEY, at: key.created_at });
    tx.insert(KEYS, key);
    this.events?.publish(keyCreated(key), tx);
  }

  private infoOf(key: ApiKey): KeyInfo {
    const { id, name, role, owner = null, created_at, created_by, expires_at } = key;
    const { rotated_from = null, replaced_by = null } = key;
    const who = { id, name, role, ...this.ring.listsOf(key), owner };
    return { ...who, created_at, created_by, expires_at, rotated_from, replaced_by };
  }

  /** An end that is not in the event log yet is reported first; the next new key removes it. */
  private async removeLongExpired(): Promise<void> {
    const until = this.store.clock().earliest - EXPIRED_KEPT_SECONDS;
    const query = { where: { expiry: REPORTED }, until, direction: 'asc', limit: REMOVE_AT_ONCE } as const;
    const { rows } = await this.store.list(KEYS, query);
    if (rows.length === 0) return;
    await this.store.transaction(async (tx) => {
      for (const { id } of rows) if (await tx.get(KEYS, id)) await removeWithUse(tx, id);
    });
  }
}

async function removeWithUse(tx: Tx, id: string): Promise<void> {
  tx.delete(KEYS, id);
  if (await tx.get(KEY_USES, id)) tx.delete(KEY_USES, id);
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
