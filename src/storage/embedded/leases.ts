/** Leases of the embedded store. There is only one process, so they are in its memory and end with it. */
import { randomId } from '../../shared/ids.js';
import type { Lease } from '../store.js';
import type { EmbeddedDatabase } from './database.js';

export class EmbeddedLeases {
  private readonly leases = new Map<string, { lease: Lease; untilMs: number }>();

  constructor(private readonly db: EmbeddedDatabase) {}

  async acquire(name: string, ttlMs: number): Promise<Lease | undefined> {
    if (this.holder(name)) return undefined;
    const fence = await this.db.next('lease');
    if (this.holder(name)) return undefined;
    const lease = { name, fence, token: randomId(16) };
    this.leases.set(name, { lease, untilMs: performance.now() + ttlMs });
    return lease;
  }

  async renew(lease: Lease, ttlMs: number): Promise<boolean> {
    if (!this.holds(lease)) return false;
    this.leases.set(lease.name, { lease, untilMs: performance.now() + ttlMs });
    return true;
  }

  async release(lease: Lease): Promise<void> {
    if (this.holds(lease)) this.leases.delete(lease.name);
  }

  private holder(name: string): Lease | undefined {
    const held = this.leases.get(name);
    return held && held.untilMs > performance.now() ? held.lease : undefined;
  }

  holds(lease: Lease): boolean {
    return this.holder(lease.name)?.token === lease.token;
  }
}
