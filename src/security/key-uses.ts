/**
 * Notes when each key was last used. A request only sets an entry in memory. Once a minute the entries are written, one for
 * each key that was used; `kill -9` loses those of the last minute. A store that is away or full fails no request: the entries
 * are written later.
 */
import type { BeforeApplicationShutdown, OnModuleInit } from '@nestjs/common';
import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { Store, Tx } from '../storage/store.js';
import { isKeyId, KEY_USES, KEYS, type KeyUse } from './api-key.js';

const WRITE_EVERY_MS = 60_000;
/** How many keys one commit writes. */
const CHUNK = 100;

export class KeyUses implements OnModuleInit, BeforeApplicationShutdown {
  /** Times on the monotonic clock by the id of the key: those that are not written yet, and those that are being written. */
  private unwritten = new Map<string, number>();
  private writing = new Map<string, number>();
  private running?: Promise<void>;
  private timer?: NodeJS.Timeout;

  constructor(
    private readonly store: Store,
    private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.store.declare(KEY_USES);
    this.timer = setInterval(() => void this.write(), WRITE_EVERY_MS).unref();
  }

  /** The last entries are written while the store is still open. */
  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.write();
  }

  /** For every admitted request, so it does nothing else. */
  note(id: string): void {
    this.unwritten.set(id, performance.now());
  }

  /** When a key was last used, on any replica; null if that was never recorded. */
  async lastUse(id: string): Promise<number | null> {
    const noted = this.noted(id);
    const stored = isKeyId(id) ? (await this.store.get(KEY_USES, id))?.last_used_at : undefined;
    return noted === undefined && stored === undefined ? null : Math.max(noted ?? 0, stored ?? 0);
  }

  /** What this replica knows without the store: the last use of a key that was used a moment ago. */
  noted(id: string): number | undefined {
    const atMs = this.unwritten.get(id) ?? this.writing.get(id);
    return atMs === undefined ? undefined : this.storeTimeOf(atMs);
  }

  /** Writes what was noted before the call. */
  async write(): Promise<void> {
    await this.running;
    this.running ??= this.writeAll().finally(() => {
      this.running = undefined;
    });
    await this.running;
  }

  /** By the store's time, because the latest time of all replicas counts. */
  private storeTimeOf(atMs: number): number {
    return this.store.clock().latest - (performance.now() - atMs) / 1000;
  }

  private async writeAll(): Promise<void> {
    this.writing = this.unwritten;
    this.unwritten = new Map();
    const uses = [...this.writing].map(([id, atMs]) => ({ id, last_used_at: this.storeTimeOf(atMs) }));
    try {
      for (let first = 0; first < uses.length; first += CHUNK) {
        const chunk = uses.slice(first, first + CHUNK);
        await this.store.transaction((tx) => Promise.all(chunk.map((use) => put(tx, use))));
        for (const { id } of chunk) this.writing.delete(id);
      }
    } catch (error) {
      for (const [id, at] of this.writing) if (!this.unwritten.has(id)) this.unwritten.set(id, at);
      this.writing = new Map();
      this.logger.debug('the last uses of keys could not be written; the next attempt follows', {
        reason: messageOf(error),
      });
    }
  }
}

async function put(tx: Tx, use: KeyUse): Promise<void> {
  // A principal without a stored key, or a key that was revoked since: nobody would remove the record.
  if (!isKeyId(use.id) || !(await tx.get(KEYS, use.id))) return;
  const before = await tx.get(KEY_USES, use.id);
  if (!before) tx.insert(KEY_USES, use);
  else if (before.last_used_at < use.last_used_at) tx.put(KEY_USES, use);
}
