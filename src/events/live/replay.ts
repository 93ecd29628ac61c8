/**
 * Sends history to a reader that comes back: page by page from the log, up to the place of the follower. From there on the
 * live events are queued for the reader; after the last page it is live, and the queue is sent. Reading the place of the
 * follower and starting to queue are one step of the event loop, so no event is skipped or repeated.
 *
 * A page is sent only after the log was seen to still have the event before it. Otherwise a failover took back events that
 * the reader has got, and the replay continues from the fork. Queueing starts only if the follower reads the same history
 * and is at least as far. If the follower notices a rollback before the reader is live, queueing stops again.
 */
import { sleep } from '../../shared/clock.js';
import {
  comparePositions,
  type EventLog,
  type Fork,
  LOG_START,
  type ReaderPosition,
} from '../../storage/event-log.js';
import { indexKeyOf } from '../log/filter.js';
import { sameHistory } from '../log/forks.js';
import { KnownTrims } from '../log/known-trims.js';
import { ReadSize } from '../log/read-size.js';
import { type MissedGap, type Resumption, resumeFromPosition, resumeFromTime } from '../log/resume.js';
import { StoredEvent } from '../log/stored-event.js';
import { eventFrame, gapFrame, heartbeatFrame } from './frames.js';
import type { StreamReader } from './stream-reader.js';
import type { UnsentHistory } from './unsent-history.js';

/** About as much is read and sent at once. */
const PAGE_BYTES = 256 * 1024;
/** A reader that is further than the follower waits for it in steps of this length. */
const WAIT_MS = 20;

interface Page {
  text: string;
  first?: string;
  last?: ReaderPosition;
  more: boolean;
}

export class Replay {
  /** The place of the reader: the last event that was read for it. */
  private at: ReaderPosition;
  /** There is no event at its place, because it came with a time and no event after it was read yet. */
  private isTime = false;
  private sentMs = performance.now();
  private readonly size = new ReadSize(PAGE_BYTES);
  private readonly knownTrims = new KnownTrims();

  constructor(
    private readonly client: StreamReader,
    private readonly log: EventLog,
    private readonly follower: { readonly place?: ReaderPosition },
    private readonly heartbeatMs: number,
    private readonly unsent: UnsentHistory,
  ) {
    this.at = { position: LOG_START };
  }

  /** Resolves once the reader is live, or gone. */
  async run({ from, gaps, isTime = false }: Resumption): Promise<void> {
    const { client } = this;
    this.isTime = isTime;
    this.at = { position: from };
    await client.send(framesOf(gaps.filter((gap) => this.knownTrims.note(gap))));
    while (client.open && !client.live) await this.step();
  }

  private async step(): Promise<void> {
    const { client } = this;
    const { liveFrom } = client;
    const forks = this.log.history;
    const until = liveFrom ?? this.followerPlace().position;
    const page = await this.unsent.read(() => this.readPage(until, forks));
    // Checked after the read: an event that is in the log now was there while the page was read.
    const { from, gaps } = await this.findGaps();
    if (gaps.some(({ reason }) => reason === 'rollback')) return this.goBack(from, gaps);
    const text = this.reportTrims(from, gaps, page) + page.text;
    this.at = { ...(page.last ?? this.at), forks };
    if (page.last) this.isTime = false;
    if (liveFrom === undefined && !page.more && this.isFollowerLevel())
      client.startQueueing(this.followerPlace().position);
    await this.send(text);
    if (!page.more && this.hasReached(liveFrom)) client.goLive();
  }

  /** What is missing after the place of the reader, as far as the reader does not know it yet. */
  private async findGaps(): Promise<Resumption> {
    const { at, log } = this;
    const found = this.isTime ? await resumeFromTime(log, at.position) : await resumeFromPosition(log, at);
    return { ...found, gaps: found.gaps.filter((gap) => this.knownTrims.note(gap)) };
  }

  /** A failover took events back. The events after the fork are read again. */
  private async goBack(from: string, gaps: MissedGap[]): Promise<void> {
    this.at = { position: from };
    this.isTime = false;
    // The live events in its queue may be lost too.
    this.client.stopQueueing();
    await this.client.send(framesOf(gaps));
  }

  /** The page was read before the gaps were found, so it may have events of a gap. The id of a reader never goes back. */
  private reportTrims(from: string, gaps: MissedGap[], { first }: Page): string {
    if (gaps.length === 0) return '';
    const { position } = this.at;
    if (first !== undefined && comparePositions(first, from) <= 0)
      return framesOf(gaps.map((gap) => ({ ...gap, next: position })));
    if (from !== position) {
      this.at = { position: from };
      this.isTime = false;
    }
    return framesOf(gaps);
  }

  /** No history is missing before the live events. `readUntil` is where queueing had started when the page was read. */
  private hasReached(readUntil: string | undefined): boolean {
    const { liveFrom } = this.client;
    // A rollback happened during the send.
    if (liveFrom === undefined) return false;
    return liveFrom === readUntil || comparePositions(liveFrom, this.at.position) <= 0;
  }

  /** The follower reads the same history and is at least as far. */
  private isFollowerLevel(): boolean {
    const { position, forks } = this.followerPlace();
    return comparePositions(position, this.at.position) >= 0 && sameHistory(forks, this.at.forks);
  }

  private followerPlace(): ReaderPosition {
    return this.follower.place ?? { position: LOG_START };
  }

  private async send(text: string): Promise<void> {
    if (text !== '') {
      this.sentMs = performance.now();
      await this.unsent.send(this.client, text);
      return;
    }
    if (performance.now() - this.sentMs > this.heartbeatMs) {
      this.sentMs = performance.now();
      await this.client.send(heartbeatFrame(this.at).text);
    }
    if (this.client.liveFrom === undefined && !this.isFollowerLevel()) await sleep(WAIT_MS);
  }

  private async readPage(until: string, forks: Fork[] | undefined): Promise<Page> {
    const after = this.at.position;
    // A reader that comes from another replica may be further than the follower here.
    if (comparePositions(after, until) >= 0) return { text: '', more: false };
    const { filter, format } = this.client.reader;
    const limit = this.size.events;
    const events = await this.log.read({ order: 'asc', after, until, key: indexKeyOf(filter), limit });
    this.size.learn(events);
    let text = '';
    for (const logged of events) {
      const event = new StoredEvent(logged);
      if (this.client.wantsFound(event)) text += eventFrame(event, format, forks).text;
    }
    return { text, first: events[0]?.position, last: events.at(-1), more: events.length === limit };
  }
}

function framesOf(gaps: MissedGap[]): string {
  return gaps.map((gap) => gapFrame(gap).text).join('');
}
