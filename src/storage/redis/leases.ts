/** Leases and sequences on Redis. The numbers only grow, also after a failover. */
import { randomId } from '../../shared/ids.js';
import type { Lease } from '../store.js';
import { leaseValue } from './commit-program.js';
import type { RedisLink } from './link.js';
import { SCRIPTS } from './scripts.js';

export class RedisLeases {
  /** The highest number of each sequence that this process has seen. A failover may reset a sequence; it goes on after these. */
  private readonly highest = new Map<string, number>();

  constructor(private readonly link: RedisLink) {}

  async next(sequence: string): Promise<number> {
    const key = this.link.keys.sequence(sequence);
    const number = Number(await this.link.script(SCRIPTS.next, [key], [this.highest.get(key) ?? 0]));
    this.saw(key, number);
    return number;
  }

  async acquire(name: string, ttlMs: number): Promise<Lease | undefined> {
    const { keys } = this.link;
    const token = randomId(16);
    const args = [token, ttlMs, this.highest.get(keys.fences) ?? 0];
    const fence = await this.link.script(SCRIPTS.acquire, [keys.lease(name), keys.fences], args);
    if (fence === null) return undefined;
    this.saw(keys.fences, Number(fence));
    return { name, fence: Number(fence), token };
  }

  async renew(lease: Lease, ttlMs: number): Promise<boolean> {
    const value = leaseValue(lease.fence, lease.token);
    return (await this.link.script(SCRIPTS.renew, [this.link.keys.lease(lease.name)], [value, ttlMs])) === 1;
  }

  async release(lease: Lease): Promise<void> {
    const value = leaseValue(lease.fence, lease.token);
    await this.link.script(SCRIPTS.renew, [this.link.keys.lease(lease.name)], [value, 0]);
  }

  private saw(key: string, number: number): void {
    if (number > (this.highest.get(key) ?? 0)) this.highest.set(key, number);
  }
}
