/**
 * Commits changes in batches: what waits is committed together and answered when the engine has flushed its pages
 * (fdatasync) and then written through to the disk the meta page that points to them.
 *
 * One batch at a time is under way. With several, the engine would flush again after a flush that failed, and the kernel
 * reports a lost page only once, so a later acknowledgement could cover pages that never reached the disk. After a failed
 * flush nothing is written any more until the process is started anew; the next start goes back to the last flush that
 * succeeded.
 */
import { BrainError, isBrainError, messageOf } from '../../shared/errors.js';
import type { Root, RootStats } from './engine.js';
import { causeOf, explained, storeClosed } from './table.js';

/** A batch takes no further changes after this, so that the event loop gets its turn. */
const BATCH_MS = 4;
/** More waiting changes than this are refused: they would be answered too late to be of use. */
const MAX_WAITING = 20_000;
/** The engine never calls back when it cannot begin a transaction; then nothing can be written any more. */
const BEGIN_MS = 20_000;
/** Stands for the number of a transaction when the engine has given up, and after every number. */
const UNREADABLE = Number.POSITIVE_INFINITY;

interface Waiting {
  change: () => unknown;
  frees: boolean;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
}

interface Answer {
  taken: Waiting;
  done: boolean;
  settle: () => void;
}

/** Who wants to hear how it goes. */
export interface WriterEvents {
  /** Why nothing may be added now. */
  noRoom(): BrainError | undefined;
  /** After each flush; `grew`: something was written that does not only make room. */
  flushed(grew: boolean): void;
  /** Something was not written that could have been the first of many. */
  refused(): void;
}

export class Writer {
  private waiting: Waiting[] = [];
  private writing?: Promise<void>;
  private stopped?: BrainError;
  /** The last batch found no room on the disk. */
  private cramped = false;
  /** The last batch was refused, and nothing of it became visible. */
  private unsettled = false;

  constructor(
    private readonly root: Root,
    private readonly events: WriterEvents,
  ) {
    process.prependListener('exit', this.fence);
  }

  get failure(): BrainError | undefined {
    return this.stopped;
  }

  commit<T>(change: () => T, frees: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.stopped) return reject(this.stopped);
      if (this.waiting.length >= MAX_WAITING) return reject(overloaded());
      this.waiting.push({ change, frees, resolve: (result) => resolve(result as T), reject });
      this.writing ??= this.writeAll();
    });
  }

  /** Resolves when all that was handed over is on disk, or was refused. */
  async settled(): Promise<void> {
    await this.writing;
  }

  /** From here on each commit is refused with the first reason that was given. */
  fail(code: string, detail: string, cause?: unknown): BrainError {
    this.stopped ??= new BrainError('unavailable', code, detail, { cause });
    return this.stopped;
  }

  /** False where the engine must not be closed, because it would wait for ever for the flush that failed. */
  async stop(): Promise<boolean> {
    await this.writing;
    if (this.stopped) return false;
    this.stopped = storeClosed();
    process.off('exit', this.fence);
    return !this.unsettled || this.settle();
  }

  /**
   * The engine never settles the flush of a batch that was refused, and waits for it when it is closed. A transaction that
   * writes nothing cannot be refused and takes its place.
   */
  private settle(): Promise<boolean> {
    return this.transact(() => undefined).then(
      () => true,
      () => false,
    );
  }

  /**
   * At the end of a process the engine flushes once more, and would then vouch for pages that an earlier flush has lost.
   * It can hang there, too. So after a failure the process ends at once, and the file stays as it was last good.
   */
  private readonly fence = (): void => {
    if (this.stopped) process.kill(process.pid, 'SIGKILL');
  };

  private async writeAll(): Promise<void> {
    // Whatever was asked for in the same turn of the event loop goes into the first batch.
    await Promise.resolve();
    while (this.waiting.length > 0 && !this.stopped) await this.writeBatch();
    this.writing = undefined;
    for (const { reject } of this.waiting.splice(0)) reject(this.stopped);
  }

  private async writeBatch(): Promise<void> {
    const answers: Answer[] = [];
    const full = this.events.noRoom();
    let txnId = UNREADABLE;
    try {
      await this.transact(() => {
        txnId = this.root.getWriteTxnId();
        this.runWaiting(answers, full);
      });
      await this.root.flushed;
      // The engine keeps it to itself when pages reached the disk and the meta page that points to them did not.
      if (this.lastTxnId() === UNREADABLE) throw new Error('the last meta page could not be written');
    } catch (error) {
      const refusal = await this.judge(error, txnId);
      this.events.refused();
      for (const { taken } of answers) taken.reject(refusal);
      return;
    }
    this.unsettled = false;
    const grew = answers.some(({ taken, done }) => done && !taken.frees);
    if (grew) this.cramped = false;
    if (full) this.events.refused();
    for (const { settle } of answers) settle();
    this.events.flushed(grew);
  }

  private transact(work: () => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const stuck = setTimeout(() => reject(new Error('no transaction could be begun')), BEGIN_MS);
      const begun = (): void => {
        clearTimeout(stuck);
        work();
      };
      this.root.transaction(begun).then(resolve, reject);
    });
  }

  private runWaiting(answers: Answer[], full: BrainError | undefined): void {
    const endMs = performance.now() + BATCH_MS;
    for (const taken of this.waiting) {
      // What finds no room takes its whole batch along, so then what makes room goes by itself.
      if (this.cramped && taken.frees !== this.waiting[0].frees) break;
      answers.push(this.run(taken, full));
      if (performance.now() > endMs) break;
    }
    this.waiting.splice(0, answers.length);
  }

  /** Each change is a transaction within that of the batch, so that one which throws takes no other along. */
  private run(taken: Waiting, full: BrainError | undefined): Answer {
    try {
      const refusal = this.stopped ?? (taken.frees ? undefined : full);
      if (refusal) throw refusal;
      // Within a transaction this runs at once, whatever its type says.
      const result: unknown = this.root.childTransaction(taken.change as () => never);
      return { taken, done: true, settle: () => taken.resolve(result) };
    } catch (error) {
      return { taken, done: false, settle: () => taken.reject(explained(error)) };
    }
  }

  /** If nothing of a failed batch became visible the store is as before; else only a new start tells what it is. */
  private async judge(error: unknown, txnId: number): Promise<unknown> {
    const cause = await causeOf(error);
    if (this.lastTxnId() < txnId && txnId < Number.POSITIVE_INFINITY) {
      const refusal = explained(cause);
      this.unsettled = true;
      this.cramped ||= isBrainError(refusal, 'storage_full');
      return this.events.noRoom() ?? refusal;
    }
    const detail =
      `The data folder could not be flushed to disk (${messageOf(cause)}), so nothing is written any more. Check the ` +
      'disk, then start the service again; it goes back to the last state that was acknowledged.';
    return this.fail('store_failed', detail, cause);
  }

  private lastTxnId(): number {
    try {
      return (this.root.getStats() as RootStats).lastTxnId;
    } catch {
      return UNREADABLE;
    }
  }
}

function overloaded(): BrainError {
  const detail = 'Too many changes wait for the disk; try again.';
  return new BrainError('unavailable', 'store_overloaded', detail, { retryAfterSeconds: 1 });
}
