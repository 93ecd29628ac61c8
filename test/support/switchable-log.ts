/** A log in memory that keeps the promises of the port, and can be made to hang, to fail, or to lose an answer. */
import type { Envelope } from '../../src/events/event.js';
import { BrainError } from '../../src/shared/errors.js';
import {
  EventLog,
  type EventRecord,
  type LogBounds,
  type LoggedEvent,
  type LogTail,
  type Tier,
} from '../../src/storage/event-log.js';

export class SwitchableLog extends EventLog {
  batchKnownMs = Number.POSITIVE_INFINITY;
  written: Envelope[] = [];
  /** `full` answers, but takes no event. */
  mode: 'works' | 'hangs' | 'fails' | 'full' | 'loses' = 'works';
  appends = 0;
  readonly history = undefined;
  private readonly batches = new Map<string, string>();
  private readonly hanging: (() => void)[] = [];

  async append(batchId: string, events: EventRecord[]): Promise<string> {
    this.appends += 1;
    await this.answer();
    if (this.mode === 'full') throw new BrainError('unavailable', 'storage_full', 'no room');
    const known = this.batches.get(batchId);
    if (known) return known;
    this.written.push(...events.map(({ json }) => JSON.parse(json) as Envelope));
    this.batches.set(batchId, `${this.written.length}-0`);
    if (this.mode === 'loses') {
      this.mode = 'works';
      throw new BrainError('unavailable', 'store_timeout', 'the answer was lost');
    }
    return `${this.written.length}-0`;
  }
  watchDurability(): () => Promise<void> {
    return () => Promise.resolve();
  }
  read(): Promise<LoggedEvent[]> {
    return Promise.resolve([]);
  }
  async bounds(): Promise<LogBounds> {
    await this.answer();
    const [recent, evidence] = [
      { first: null, length: this.written.length },
      { first: null, length: 0 },
    ];
    const ends = { first: null, last: null, end: null, length: this.written.length };
    return { ...ends, recent, evidence, trimmed: null, evidenceTrimmed: null };
  }
  tierOf(): Promise<Tier> {
    return Promise.resolve('recent');
  }
  forks(): Promise<[]> {
    return Promise.resolve([]);
  }
  acknowledged(): [] {
    return [];
  }
  trim(): Promise<LoggedEvent[]> {
    return Promise.resolve([]);
  }
  trimRecent(): Promise<number> {
    return Promise.resolve(0);
  }
  next(): Promise<LogTail> {
    return Promise.resolve({ events: [], tier: 'recent' });
  }
  /** Lets those that hang come to an end, as the time-out of a client does, and works from now on. */
  wake(): void {
    this.mode = 'works';
    this.fail();
  }
  /** Lets those that hang come to an end, and stays as it is. */
  fail(): void {
    for (const reject of this.hanging.splice(0)) reject();
  }
  private answer(): Promise<void> {
    if (this.mode === 'fails')
      return Promise.reject(new BrainError('unavailable', 'store_unreachable', 'away'));
    if (this.mode !== 'hangs') return Promise.resolve();
    return new Promise((_, reject) => {
      this.hanging.push(() => reject(new BrainError('unavailable', 'store_timeout', 'no answer')));
    });
  }
}
