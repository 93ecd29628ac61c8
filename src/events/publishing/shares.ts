/**
 * Shares the buffer of events among the principals. A principal may hold as many events and bytes as are then still free. So a
 * single one holds at most half of the buffer, two hold at most a third each, and there is always room for another one. The
 * events of the service itself may use all of it.
 */
import type { Actor } from '../../shared/context.js';

/** What one principal holds; undefined as `owner` for the service itself. */
export interface Share {
  readonly owner: string | undefined;
  events: number;
  bytes: number;
}

export class Shares {
  private readonly byOwner = new Map<string | undefined, Share>();
  /** What all of them hold together. */
  events = 0;
  private bytes = 0;

  constructor(
    private readonly mostEvents: number,
    private readonly mostBytes: number,
  ) {}

  /** Takes room for events, all or none of them. Undefined if there is too little. */
  take(actor: Actor | undefined, events: number): Share | undefined {
    const owner = ownerOf(actor);
    const share = this.byOwner.get(owner) ?? { owner, events: 0, bytes: 0 };
    const free = this.mostEvents - this.events - events;
    if (free < 0 || (owner !== undefined && share.events + events > free)) return undefined;
    if (share.events === 0) this.byOwner.set(owner, share);
    share.events += events;
    this.events += events;
    return share;
  }

  /** Takes room for the bytes of events that are held already. */
  takeBytes(share: Share, bytes: number): boolean {
    const free = this.mostBytes - this.bytes - bytes;
    if (free < 0 || (share.owner !== undefined && share.bytes + bytes > free)) return false;
    share.bytes += bytes;
    this.bytes += bytes;
    return true;
  }

  release(share: Share, events: number, bytes: number): void {
    share.events -= events;
    share.bytes -= bytes;
    this.events -= events;
    this.bytes -= bytes;
    // So the map has only principals with waiting events.
    if (share.events === 0) this.byOwner.delete(share.owner);
  }

  /** Whether the principal holds more than half of what it may hold. */
  isCrowded(actor: Actor | undefined): boolean {
    const owner = ownerOf(actor);
    const share = owner === undefined ? undefined : this.byOwner.get(owner);
    if (!share) return false;
    return share.events * 2 > this.mostEvents - this.events || share.bytes * 2 > this.mostBytes - this.bytes;
  }
}

function ownerOf(actor: Actor | undefined): string | undefined {
  return actor === undefined || actor.role === 'service' ? undefined : actor.id;
}
