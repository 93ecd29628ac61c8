/**
 * Notices that the event loop of this process is overloaded: its delay stays above a bound for five seconds. The episode ends
 * when the delay stays below the bound for as long.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Logger } from './logger.js';

const LOOK_EVERY_MS = 1000;
const LOOKS = 5;
/** The histogram measures the time between two ticks of this length. */
const RESOLUTION_MS = 20;
const PERCENTILE = 99;
const NS_PER_MS = 1e6;

export class EventLoopWatch {
  isOverloaded = false;
  /** How many looks in a row say that the state must change. */
  private looks = 0;
  private readonly listeners = new Set<(delayMs: number) => void>();
  private histogram?: IntervalHistogram;
  private timer?: NodeJS.Timeout;

  constructor(
    private readonly logger: Logger,
    /** 0: the process is never overloaded. */
    private readonly boundMs: number,
  ) {}

  onApplicationBootstrap(): void {
    if (this.boundMs === 0) return;
    const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    histogram.enable();
    this.histogram = histogram;
    this.timer = setInterval(() => {
      const delayMs = histogram.percentile(PERCENTILE) / NS_PER_MS - RESOLUTION_MS;
      histogram.reset();
      this.look(delayMs);
    }, LOOK_EVERY_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
    this.histogram?.disable();
  }

  /** Calls back once at the beginning of each episode. */
  onOverload(listener: (delayMs: number) => void): void {
    this.listeners.add(listener);
  }

  /** Takes the delay of the last second. */
  look(delayMs: number): void {
    const differs = delayMs > this.boundMs !== this.isOverloaded;
    this.looks = differs ? this.looks + 1 : 0;
    if (this.looks < LOOKS) return;
    this.looks = 0;
    this.isOverloaded = !this.isOverloaded;
    if (!this.isOverloaded) return;
    this.logger.warn('this replica is overloaded: it refuses heavy requests until it has recovered', {
      event_loop_delay_ms: Math.round(delayMs),
    });
    for (const listener of this.listeners) listener(delayMs);
  }
}
