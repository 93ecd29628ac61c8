/**
 * The health for callers without a key. Each window is counted once a second, and few windows are, so that a stranger cannot
 * load the store. A count that fails is not kept.
 */
import { BrainError } from '../shared/errors.js';
import type { ImmuneHealth } from './immune.dto.js';

const KEPT_MS = 1000;
const MAX_WINDOWS = 8;

export class PublicHealth {
  private since = Number.NEGATIVE_INFINITY;
  private readonly windows = new Map<number, Promise<ImmuneHealth>>();

  constructor(
    private readonly count: (minutes: number) => Promise<ImmuneHealth>,
    private readonly nowMs = (): number => performance.now(),
  ) {}

  health(minutes: number): Promise<ImmuneHealth> {
    if (this.nowMs() - this.since >= KEPT_MS) {
      this.since = this.nowMs();
      this.windows.clear();
    }
    const known = this.windows.get(minutes);
    if (known) return known;
    if (this.windows.size >= MAX_WINDOWS) throw tooMany();
    const counted = this.count(minutes);
    this.windows.set(minutes, counted);
    counted.catch(() => {
      if (this.windows.get(minutes) === counted) this.windows.delete(minutes);
    });
    return counted;
  }
}

function tooMany(): BrainError {
  const detail = `Callers without a key get the health of ${MAX_WINDOWS} windows in a second. Wait a second, or send a key.`;
  return new BrainError('too_many', 'too_many_windows', detail, { retryAfterSeconds: 1 });
}
