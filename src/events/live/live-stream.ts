/**
 * The live streams of this replica: it keeps the readers and sends them the events of the follower. A reader that has missed
 * events first gets them by `Replay`.
 */
import type { OnApplicationBootstrap } from '@nestjs/common';
import type { Response } from 'express';
import type { Config } from '../../config/config.js';
import { BrainError } from '../../shared/errors.js';
import { type EventLog, LOG_START } from '../../storage/event-log.js';
import type { EventFormat } from '../log/events.dto.js';
import type { MissedGap, Resumption } from '../log/resume.js';
import type { StoredEvent } from '../log/stored-event.js';
import type { LogFollower } from './follower.js';
import { eventFrame, gapFrame, heartbeatFrame } from './frames.js';
import { Replay } from './replay.js';
import { type Frame, retry } from './sse.js';
import { type Reader, StreamReader } from './stream-reader.js';
import { UnsentHistory } from './unsent-history.js';
import { WritePacer } from './write-pacer.js';

const HEARTBEAT_MS = 15_000;
/** A revoked key is refused within a second, and its live streams end within two. */
const RECHECK_MS = 1000;
/** A replica that has just started reaches the log within this time, unless the log cannot be reached. */
const FIRST_MS = 1000;
/** Clients reconnect at a random time in this range, not all at once. */
const RETRY_MS = [1000, 3000] as const;

export class LiveStream implements OnApplicationBootstrap {
  private readonly clients = new Set<StreamReader>();
  private readonly pacer = new WritePacer(this.clients);
  private readonly unsent = new UnsentHistory();
  /** How many connections there are for each principal, and in all. */
  private readonly slots = new Map<string, number>();
  private reserved = 0;
  private readonly timers: NodeJS.Timeout[] = [];
  private stopListening?: () => void;
  private isShuttingDown = false;

  constructor(
    private readonly log: EventLog,
    private readonly follower: LogFollower,
    private readonly limits: Pick<Config, 'streamMaxClients' | 'streamMaxClientsPerKey'>,
  ) {}

  get connections(): number {
    return this.reserved;
  }

  onApplicationBootstrap(): void {
    this.follower.onGap((gap) => this.sendGap(gap));
    this.timers.push(setInterval(() => this.beat(), HEARTBEAT_MS).unref());
    this.timers.push(setInterval(() => this.recheck(), RECHECK_MS).unref());
  }

  /** Ends all connections, so that clients reconnect to another replica. */
  end(): void {
    this.isShuttingDown = true;
    for (const timer of this.timers) clearInterval(timer);
    for (const client of this.clients) client.end(retry(spread()));
  }

  /** Resolves when the reader is live or has left. A refusal is thrown before the first byte is sent. */
  async serve(
    reader: Reader,
    response: Response,
    start: () => Promise<Resumption | undefined>,
  ): Promise<void> {
    // A client that left during the check of its key emits no `close` any more, and its slot would never be freed.
    if (response.destroyed) return;
    this.reserveSlot(reader.principal);
    const client = new StreamReader(reader, response);
    response.once('close', () => this.left(client));
    const from = await start();
    if (!(await this.follower.reached(FIRST_MS))) throw notReachedYet();
    if (!client.open) return;
    if (this.isShuttingDown) throw draining();
    this.clients.add(client);
    this.stopListening ??= this.follower.onEvent((event) => this.send(event));
    client.begin(retry(spread()));
    if (from) await new Replay(client, this.log, this.follower, HEARTBEAT_MS, this.unsent).run(from);
    else this.admit(client);
    this.pacer.request();
  }

  private admit(client: StreamReader): void {
    client.startQueueing(this.follower.place?.position ?? LOG_START);
    client.goLive();
  }

  private left(client: StreamReader): void {
    this.clients.delete(client);
    this.releaseSlot(client.reader.principal);
    if (this.clients.size > 0) return;
    this.stopListening?.();
    this.stopListening = undefined;
  }

  /** Each format is made once for all readers. */
  private send(event: StoredEvent): void {
    const frames: Partial<Record<EventFormat, Frame>> = {};
    const forks = this.follower.place?.forks;
    for (const client of this.clients) {
      if (client.liveFrom === undefined || !client.wants(event)) continue;
      const { format } = client.reader;
      frames[format] ??= eventFrame(event, format, forks);
      client.offer(frames[format]);
    }
    this.pacer.request();
  }

  private sendGap(gap: MissedGap): void {
    const frame = gapFrame(gap);
    for (const client of this.clients) {
      // A reader that is not live yet finds a rollback itself: the live events that wait for it may be lost.
      if (gap.reason === 'rollback' && !client.live) client.stopQueueing();
      else if (client.liveFrom !== undefined) client.offer(frame);
    }
    this.pacer.request();
  }

  private beat(): void {
    const { place } = this.follower;
    if (place === undefined) return;
    const beat = heartbeatFrame(place);
    for (const client of this.clients) if (client.liveFrom !== undefined) client.offer(beat);
    this.pacer.request();
  }

  private recheck(): void {
    for (const client of this.clients) if (!client.reader.admitted()) client.end();
  }

  private reserveSlot(principal: string): void {
    if (this.isShuttingDown) throw draining();
    const own = this.slots.get(principal) ?? 0;
    const { streamMaxClients, streamMaxClientsPerKey } = this.limits;
    if (own >= streamMaxClientsPerKey) {
      const detail = `This key has ${own} streams open on this replica; close one, or raise BRAIN_STREAM_MAX_CLIENTS_PER_KEY.`;
      throw tooMany(detail);
    }
    if (this.reserved >= streamMaxClients) {
      throw tooMany(
        'This replica has as many streams open as BRAIN_STREAM_MAX_CLIENTS allows; try again later.',
      );
    }
    this.reserved += 1;
    this.slots.set(principal, own + 1);
  }

  private releaseSlot(principal: string): void {
    this.reserved -= 1;
    const own = (this.slots.get(principal) ?? 1) - 1;
    if (own > 0) this.slots.set(principal, own);
    else this.slots.delete(principal);
  }
}

function spread(): number {
  const [least, most] = RETRY_MS;
  return least + Math.random() * (most - least);
}

function draining(): BrainError {
  return refused('draining', 'This replica is shutting down; connect again.');
}

function notReachedYet(): BrainError {
  return refused(
    'log_unreachable',
    'This replica has not reached the event log yet; connect again in a moment.',
  );
}

function refused(code: string, detail: string): BrainError {
  return new BrainError('unavailable', code, detail, { retryAfterSeconds: 1 });
}

function tooMany(detail: string): BrainError {
  return new BrainError('too_many', 'too_many_streams', detail, { retryAfterSeconds: 5 });
}
