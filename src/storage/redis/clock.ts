/**
 * The time by the clock of Redis, which is the same for all replicas. It is measured at each connect and then every
 * second. In between the monotonic clock of this process counts on. Nobody can set that clock, and it is wrong by less
 * than a millisecond per second.
 */
import type { StoreTime } from '../store.js';
import type { RedisLink } from './link.js';

const EVERY_MS = 1000;

/** What the clock needs of the connection. */
export type Measurable = Pick<RedisLink, 'command' | 'onConnect' | 'epoch' | 'closed'>;

interface Measured {
  /** The answer of Redis, which it gave between the two moments below. */
  seconds: number;
  askedMs: number;
  answeredMs: number;
}

export class RedisClock {
  private measured?: Measured;
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly link: Measurable) {
    this.timer = setInterval(() => void this.measure(), EVERY_MS).unref();
    // Redis answers in order, so a call that waits for the connection gets no answer before the time is known. A new
    // master has another clock. Until it answers, the old measurement is the best guess: all due times were set by it.
    link.onConnect(() => void this.measure());
  }

  now(): StoreTime {
    if (!this.measured) return { earliest: 0, latest: Date.now() / 1000 };
    const { seconds, askedMs, answeredMs } = this.measured;
    const nowMs = performance.now();
    return {
      earliest: seconds + (nowMs - answeredMs) / 1000,
      latest: seconds + (nowMs - askedMs) / 1000,
    };
  }

  /** Without a known time nothing becomes due. */
  get isKnown(): boolean {
    return this.measured !== undefined;
  }

  close(): void {
    clearInterval(this.timer);
  }

  private async measure(): Promise<void> {
    if (this.link.closed) return;
    const { epoch } = this.link;
    const askedMs = performance.now();
    try {
      const [seconds, micros] = (await this.link.command('time', [])) as string[];
      // The answer may come from another connection, which makes a measurement of its own.
      if (this.link.epoch !== epoch) return;
      const answeredMs = performance.now();
      this.measured = { seconds: Number(seconds) + Number(micros) / 1e6, askedMs, answeredMs };
    } catch {
      // The link has logged it, and the last measurement is used on.
    }
  }
}
