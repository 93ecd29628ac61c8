/**
 * Finds out whether the store accepts writes, which a read cannot show. The last write shows it. If no write succeeded lately,
 * the check makes a test write, so that the answer does not depend on the requests of clients.
 */
import { type BrainError, isBrainError } from '../shared/errors.js';

/** After a successful write the next one counts as possible for this long. */
const WORKED_MS = 2000;
/** A test write is made at most this often, because everybody may request the health. */
const AGAIN_MS = 500;

export class WriteCheck {
  private workedMs = Number.NEGATIVE_INFINITY;
  private triedMs = Number.NEGATIVE_INFINITY;
  private inDoubt = false;
  private error?: BrainError;
  private trying?: Promise<void>;

  /** `write` is the test write. It should need as much space as most writes. */
  constructor(private readonly write: () => Promise<unknown>) {}

  /** A write succeeded that does not only free space. After a refusal it does not count: a small write may pass when most do not. */
  worked(): void {
    if (!this.inDoubt) this.workedMs = performance.now();
  }

  /** A write was made. It counts as successful when it is durable. */
  follow(durable: Promise<unknown> | undefined): void {
    if (!durable) this.worked();
    else
      durable.then(
        () => this.worked(),
        () => this.doubted(),
      );
  }

  /** A write was refused. The next health check finds out whether the store refuses all writes. */
  doubted(): void {
    this.inDoubt = true;
  }

  /** Why the store takes no writes; undefined if it does. */
  async refusal(): Promise<BrainError | undefined> {
    const nowMs = performance.now();
    if (!this.inDoubt && nowMs - this.workedMs < WORKED_MS) return undefined;
    if (nowMs - this.triedMs >= AGAIN_MS) this.trying ??= this.try();
    await this.trying;
    return this.error;
  }

  private async try(): Promise<void> {
    try {
      await this.write();
      this.error = undefined;
      this.inDoubt = false;
      this.worked();
    } catch (error) {
      if (!isBrainError(error)) throw error;
      this.error = error;
      this.inDoubt = true;
    } finally {
      this.triedMs = performance.now();
      this.trying = undefined;
    }
  }
}
