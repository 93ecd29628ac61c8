/**
 * Sends history to a reader that comes back: page by page from the log, up to the place of the follower, where the reader
 * joins the live events. Reading that place and joining are one step of the event loop, so no event is skipped or repeated.
 *
 * A page is sent only after the log was seen to still have the event before it. Otherwise a failover took back events that
 * the reader has got, and the replay continues from the fork. A reader joins only if the follower reads the same history and
 * is at least as far. If the follower notices a rollback before the reader is live, the reader leaves again.
 */
import { sleep } from '../../shared/clock.js';
import {
  comparePositions,
  type EventLog,
  type Fork,
  LOG_START,
  type Place,
} from '../../storage/event-log.js';
import { indexKeyOf } from '../log/filter.js';
import { type MissedGap, type Resumption, resume, resumeTime, sameHistory } from '../log/resume.js';
import { StoredEvent } from '../log/stored-event.js';
import { eventFrame, gapFrame, heartbeatFrame } from './frames.js';
import type { StreamReader } from './stream-reader.js';

/** Events that are read and sent at once. */
const PAGE = 500;
/** A reader that is further than the follower waits for it in steps of this length. */
const WAIT_MS = 20;

interface Page {
  text: string;
  first?: string;
  last?: Place;
  more: boolean;
}

export class Replay {
  private at: Place;
  /** There is no event at its place, because it came with a time and no event after it was read yet. */
  private isTime = false;
  private sentMs = performance.now();

  constructor(
    private readonly client: StreamReader,
    private readonly log: EventLog,
    private readonly follower: { readonly place?: Place },
    private readonly heartbeatMs: number,
  ) {
    this.at = { position: LOG_START };
  }

  /** Resolves once the reader is live, or gone. */
  async run({ from, gap, isTime = false }: Resumption): Promise<void> {
    const { client } = this;
    this.isTime = isTime;
    this.at = { position: from };
    if (gap) await client.send(gapFrame(gap).text);
    while (client.open && !client.live) await this.step();
  }

  private async step(): Promise<void> {
    const { client } = this;
    const { joint } = client;
    const forks = this.log.history;
    const page = await this.page(joint ?? this.place().position, forks);
    // Checked after the read: an event that is in the log now was there while the page was read.
    const { at } = this;
    const { gap } = this.isTime ? await resumeTime(this.log, at.position) : await resume(this.log, at);
    if (gap && !(gap.reason === 'trimmed' && isBehind(page.first, gap.to))) return this.miss(gap);
    this.at = { ...(page.last ?? at), forks };
    this.isTime &&= page.last === undefined;
    if (joint === undefined && !page.more && this.isLevel()) client.join(this.place().position);
    await this.send(page.text);
    // Without a joint, a rollback happened during the send.
    if (page.more || client.joint === undefined) return;
    const complete = client.joint === joint || comparePositions(client.joint, this.at.position) <= 0;
    if (complete) client.release();
  }

  /** Reports the missing events; the events after them are read again. */
  private async miss(gap: MissedGap): Promise<void> {
    this.at = { position: gap.next };
    this.isTime = false;
    // The live events in its queue may be lost too.
    if (gap.reason === 'rollback') this.client.leave();
    await this.client.send(gapFrame(gap).text);
  }

  /** The follower reads the same history and is at least as far. */
  private isLevel(): boolean {
    const { position, forks } = this.place();
    return comparePositions(position, this.at.position) >= 0 && sameHistory(forks, this.at.forks);
  }

  private place(): Place {
    return this.follower.place ?? { position: LOG_START };
  }

  private async send(text: string): Promise<void> {
    if (text !== '') {
      this.sentMs = performance.now();
      await this.client.send(text);
      return;
    }
    if (performance.now() - this.sentMs > this.heartbeatMs) {
      this.sentMs = performance.now();
      await this.client.send(heartbeatFrame(this.at).text);
    }
    if (this.client.joint === undefined && !this.isLevel()) await sleep(WAIT_MS);
  }

  private async page(until: string, forks: Fork[] | undefined): Promise<Page> {
    const after = this.at.position;
    // A reader that comes from another replica may be further than the follower here.
    if (comparePositions(after, until) >= 0) return { text: '', more: false };
    const { filter, format } = this.client.reader;
    const events = await this.log.read({ order: 'asc', after, until, key: indexKeyOf(filter), limit: PAGE });
    let text = '';
    for (const logged of events) {
      const event = new StoredEvent(logged);
      if (this.client.wantsFound(event)) text += eventFrame(event, format, forks).text;
    }
    return { text, first: events[0]?.position, last: events.at(-1), more: events.length === PAGE };
  }
}

/** The trim removed only events that were read before it. */
function isBehind(next: string | undefined, cut: string): boolean {
  return next !== undefined && comparePositions(next, cut) <= 0;
}
