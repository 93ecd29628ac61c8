/**
 * Whether the store takes writes, which reads cannot tell. The last write tells; where none succeeded of late, a small
 * one of the store's own is made, so that the answer depends on no client and on no other part of the service.
 */
import { type BrainError, isBrainError } from '../shared/errors.js';

/** A write that succeeded tells for so long that the next one will. */
const WORKED_MS = 2000;
/** Health is asked by anybody: while writes are refused one is tried no more often than this. */
const REFUSED_MS = 500;

export class WriteCheck {
  private workedMs = Number.NEGATIVE_INFINITY;
  private refusedMs = Number.NEGATIVE_INFINITY;
  private error?: BrainError;
  private trying?: Promise<void>;

  constructor(private readonly write: () => Promise<unknown>) {}

  /** A write succeeded that makes no room: one that does may succeed where others are refused. */
  worked(): void {
    this.workedMs = performance.now();
    this.error = undefined;
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
    this.workedMs = Number.NEGATIVE_INFINITY;
  }

  /** Why no write is taken, if that is so. */
  async refusal(): Promise<BrainError | undefined> {
    const nowMs = performance.now();
    if (nowMs - this.workedMs < WORKED_MS) return undefined;
    if (nowMs - this.refusedMs < REFUSED_MS) return this.error;
    this.trying ??= this.try();
    await this.trying;
    return this.error;
  }

  private async try(): Promise<void> {
    try {
      await this.write();
      this.worked();
    } catch (error) {
      if (!isBrainError(error)) throw error;
      this.error = error;
      this.refusedMs = performance.now();
    } finally {
      this.trying = undefined;
    }
  }
}
