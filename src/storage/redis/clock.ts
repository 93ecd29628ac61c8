/**
 * The time by the clock of Redis, which is one for all replicas. It is measured at each connect and then every second. In between
 * it goes on by the monotonic clock of this process, which nobody sets, and which errs by less than a millisecond in a second.
 */

import type { StoreTime } from '../store.js';
import type { RedisLink } from './link.js';

const EVERY_MS = 1000;

/** What is needed of the connection. */
export type Measurable = Pick<RedisLink, 'command' | 'onConnect' | 'epoch' | 'closed'>;

interface Measured {
  /** What Redis answered. It said so at some moment between the two that follow. */
  seconds: number;
  askedMs: number;
  answeredMs: number;
}

export class RedisClock {
  private measured?: Measured;
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly link: Measurable) {
    this.timer = setInterval(() => void this.measure(), EVERY_MS).unref();
    // Redis answers in order, so whoever waited for the connection hears nothing before the time is known. Another master has
    // another clock; until it answers, the former one is the better guess: by it all was set that is due.
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

  /** Without a time nothing becomes due. */
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
      // The answer may be that of another connection, which has been asked for itself.
      if (this.link.epoch !== epoch) return;
      const answeredMs = performance.now();
      this.measured = { seconds: Number(seconds) + Number(micros) / 1e6, askedMs, answeredMs };
    } catch {
      // The link has told it, and the former measurement goes on.
    }
  }
}
