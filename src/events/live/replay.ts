/**
 * How a reader that was somewhere before gets to where the follower is: history from the log, page by page, up to the place where
 * the follower is, where it joins. Joining and asking for that place are one step of the event loop, so there is no hole
 * and no repetition between the two.
 *
 * Every page is only sent once the event behind which it was read has been seen to be there, the same one as before: else a
 * failover took back what the reader was given, and it goes on from where the histories part. It joins only where the follower reads the
 * same history and is as far as the reader; and where the follower notices a rollback before the reader is live, it has not joined.
 */
import { sleep } from '../../shared/clock.js';
import { comparePositions, type EventLog, LOG_START, type Place } from '../../storage/event-log.js';
import { indexKeyOf } from '../log/filter.js';
import { type MissedGap, type Resumption, resume, sameHistory } from '../log/resume.js';
import { StoredEvent } from '../log/stored-event.js';
import { eventFrame, gapFrame } from './frames.js';
import { heartbeat } from './sse.js';
import type { StreamReader } from './stream-reader.js';

/** History is read and sent so many events at a time. */
const PAGE = 500;
/** A reader that is further than the follower waits for it in such steps. */
const WAIT_MS = 20;

interface Page {
  text: string;
  first?: string;
  last?: Place;
  more: boolean;
}

export class Replay {
  private at: Place;
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
  async run({ from, gap }: Resumption): Promise<void> {
    const { client } = this;
    this.at = { position: from };
    if (gap) await client.send(gapFrame(gap).text);
    while (client.open && !client.live) await this.step();
  }

  private async step(): Promise<void> {
    const { client } = this;
    const { joint } = client;
    const forks = this.log.history;
    const page = await this.page(joint ?? this.place().position);
    // Asked behind the read: what is there now was there while the page was read.
    const { gap } = await resume(this.log, this.at);
    if (gap && !(gap.reason === 'trimmed' && isBehind(page.first, gap.to))) return this.miss(gap);
    this.at = { ...(page.last ?? this.at), forks };
    if (joint === undefined && !page.more && this.isLevel()) client.join(this.place().position);
    await this.send(page.text);
    // A rollback meanwhile has taken the joint away.
    if (page.more || client.joint === undefined) return;
    const complete = client.joint === joint || comparePositions(client.joint, this.at.position) <= 0;
    if (complete) client.release();
  }

  /** What is not there any more is told, and what was read behind it is read again. */
  private async miss(gap: MissedGap): Promise<void> {
    this.at = { position: gap.reason === 'rollback' ? gap.from : gap.to };
    // What waits for it may be lost as well, and the joint with it.
    if (gap.reason === 'rollback') this.client.leave();
    await this.client.send(gapFrame(gap).text);
  }

  /** The follower reads the history that was just read here, and is as far in it. */
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
      await this.client.send(heartbeat(this.at.position).text);
    }
    if (this.client.joint === undefined && !this.isLevel()) await sleep(WAIT_MS);
  }

  private async page(until: string): Promise<Page> {
    const after = this.at.position;
    // A reader that comes from another replica may be further than this one is.
    if (comparePositions(after, until) >= 0) return { text: '', more: false };
    const { filter, format } = this.client.reader;
    const events = await this.log.read({ order: 'asc', after, until, key: indexKeyOf(filter), limit: PAGE });
    let text = '';
    for (const logged of events) {
      const event = new StoredEvent(logged);
      if (this.client.wantsFound(event)) text += eventFrame(event, format).text;
    }
    return { text, first: events[0]?.position, last: events.at(-1), more: events.length === PAGE };
  }
}

/** What was trimmed after the next was read is missing to nobody. */
function isBehind(next: string | undefined, cut: string): boolean {
  return next !== undefined && comparePositions(next, cut) <= 0;
}
