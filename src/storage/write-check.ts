/**
 * Whether the store takes writes, which reads cannot tell. The last write tells; where none succeeded of late, one
 * of the store's own is made, so that the answer depends on no client and on no other part of the service.
 */
import { type BrainError, isBrainError } from '../shared/errors.js';

/** A write that succeeded tells for so long that the next one will. */
const WORKED_MS = 2000;
/** Health is asked by anybody: a write is tried no more often than this. */
const AGAIN_MS = 500;

export class WriteCheck {
  private workedMs = Number.NEGATIVE_INFINITY;
  private triedMs = Number.NEGATIVE_INFINITY;
  private doubt = false;
  private error?: BrainError;
  private trying?: Promise<void>;

  /** `write` should need as much room as most writes do. */
  constructor(private readonly write: () => Promise<unknown>) {}

  /** A write succeeded that does not only make room. In doubt it tells nothing: a smaller one may pass where most do not. */
  worked(): void {
    if (!this.doubt) this.workedMs = performance.now();
  }

  /** A write was done, and counts where it becomes durable. */
  follow(durable: Promise<unknown> | undefined): void {
    if (!durable) this.worked();
    else
      durable.then(
        () => this.worked(),
        () => this.doubted(),
      );
  }

  /** A write was refused: that may be its own fault or the store's. */
  doubted(): void {
    this.doubt = true;
  }

  /** Why no write is taken, if that is so. */
  async refusal(): Promise<BrainError | undefined> {
    const nowMs = performance.now();
    if (!this.doubt && nowMs - this.workedMs < WORKED_MS) return undefined;
    if (nowMs - this.triedMs >= AGAIN_MS) this.trying ??= this.try();
    await this.trying;
    return this.error;
  }

  private async try(): Promise<void> {
    try {
      await this.write();
      this.error = undefined;
      this.doubt = false;
      this.worked();
    } catch (error) {
      if (!isBrainError(error)) throw error;
      this.error = error;
      this.doubt = true;
    } finally {
      this.triedMs = performance.now();
      this.trying = undefined;
    }
  }
}
