/**
 * Commits changes in batches. A batch is acknowledged when the engine has flushed its pages (fdatasync) and has then
 * written the meta page that points to them through to the disk.
 *
 * Only one batch runs at a time. With several, the engine flushes again after a failed flush. The kernel reports a lost
 * page only once, so a later acknowledgement could cover pages that never reached the disk. After a failed flush
 * nothing is written until the process is started again; the next start goes back to the last good flush.
 */
import { BrainError, isBrainError, messageOf } from '../../shared/errors.js';
import type { Root, RootStats } from './engine.js';
import type { Growth } from './space.js';
import { causeOf, explained, storeClosed } from './table.js';

/** A batch takes no more changes after this time, so that the event loop gets its turn. */
const BATCH_MS = 4;
/** Further changes are refused: they would be answered too late. */
const MAX_WAITING = 20_000;
/** The engine never calls back when it cannot begin a transaction. After this time the store counts as failed. */
const BEGIN_MS = 20_000;

/** A change that has run. Other transactions of this process may see it before it is durable. */
export interface Written<T> {
  outcome: T;
  /** Resolves when the change is on disk, and rejects when the batch was refused. */
  durable: Promise<void>;
}

interface WaitingChange {
  change: () => unknown;
  growth: Growth;
  onRun: (written: Written<unknown>) => void;
  reject: (error: unknown) => void;
}

/** What a change gets after the flush of its batch, or after the failure of it. */
interface BatchedChange {
  growth: Growth;
  hasRun: boolean;
  flushed: () => void;
  failed: (error: unknown) => void;
}

/** Why a change of each growth is refused without trying it; undefined if it is not. */
export type Foreseen = Partial<Record<Growth, BrainError>>;

/** What the owner of a writer knows, and wants to know. */
export interface WriterEvents {
  /** Why changes must not be tried now. `found`: a batch found no room, and none has grown the store since. */
  foreseen(found: boolean): Foreseen;
  /** After each flush. `grew`: the batch wrote something that neither frees space nor is essential. */
  flushed(grew: boolean): void;
  /** A write was refused. The next ones may be refused as well. */
  refused(): void;
}

export class Writer {
  private waiting: WaitingChange[] = [];
  private writing?: Promise<void>;
  /** Why no change is taken any more: the store has failed, or it is closed. */
  private stopReason?: BrainError;
  /** A batch found no room on the disk, and none has grown the store since. */
  private foundNoRoom = false;
  /** The last batch was refused, and nothing of it became visible. The engine still waits for its flush. */
  private refusedFlushIsOpen = false;

  constructor(
    private readonly root: Root,
    private readonly events: WriterEvents,
  ) {
    process.prependListener('exit', this.killOnExit);
  }

  get failure(): BrainError | undefined {
    return this.stopReason;
  }

  /** Resolves when the change has run. A change that throws rejects after the flush of its batch. */
  write<T>(change: () => T, growth: Growth): Promise<Written<T>> {
    return new Promise((resolve, reject) => {
      if (this.stopReason) return reject(this.stopReason);
      if (this.waiting.length >= MAX_WAITING) return reject(overloaded());
      this.waiting.push({ change, growth, onRun: (written) => resolve(written as Written<T>), reject });
      this.writing ??= this.writeAll();
    });
  }

  /** The same; resolves when the change is on disk. */
  async commit<T>(change: () => T, growth: Growth): Promise<T> {
    const { outcome, durable } = await this.write(change, growth);
    await durable;
    return outcome;
  }

  /** Resolves when every change so far is on disk or refused. */
  async settled(): Promise<void> {
    await this.writing;
  }

  /** Refuses every further commit with this reason. The first reason stays. */
  fail(code: string, detail: string, cause?: unknown): BrainError {
    this.stopReason ??= new BrainError('unavailable', code, detail, { cause });
    return this.stopReason;
  }

  /** False when the engine must not be closed, because its close would wait for ever for the failed flush. */
  async stop(): Promise<boolean> {
    await this.writing;
    if (this.stopReason) return false;
    this.stopReason = storeClosed();
    process.off('exit', this.killOnExit);
    return !this.refusedFlushIsOpen || this.replaceOpenFlush();
  }

  /**
   * The engine never ends the flush of a refused batch, and its close waits for it. An empty transaction cannot be
   * refused, and its flush replaces the open one.
   */
  private replaceOpenFlush(): Promise<boolean> {
    return this.transact(() => undefined).then(
      () => true,
      () => false,
    );
  }

  /**
   * The engine flushes once more when the process exits. After a failed flush that would acknowledge lost pages, and it
   * can hang. So the process ends at once, and the file stays at the last good flush.
   */
  private readonly killOnExit = (): void => {
    if (this.stopReason) process.kill(process.pid, 'SIGKILL');
  };

  private async writeAll(): Promise<void> {
    // All changes of one turn of the event loop go into the first batch.
    await Promise.resolve();
    while (this.waiting.length > 0 && !this.stopReason) await this.writeBatch();
    this.writing = undefined;
    for (const { reject } of this.waiting.splice(0)) reject(this.stopReason);
  }

  private async writeBatch(): Promise<void> {
    const batch: BatchedChange[] = [];
    const refusals = this.events.foreseen(this.foundNoRoom);
    let txnId: number | undefined;
    try {
      await this.transact(() => {
        txnId = this.root.getWriteTxnId();
        this.runWaiting(batch, refusals);
      });
      await this.root.flushed;
      // The engine does not report that it could not write the meta page after the other pages.
      if (this.lastTxnId() === undefined) throw new Error('the last meta page could not be written');
    } catch (error) {
      const refusal = await this.classifyFailure(error, txnId);
      this.events.refused();
      for (const { failed } of batch) failed(refusal);
      return;
    }
    this.refusedFlushIsOpen = false;
    const grew = batch.some(({ hasRun, growth }) => hasRun && growth === 'usual');
    if (grew) this.foundNoRoom = false;
    if (refusals.usual) this.events.refused();
    for (const { flushed } of batch) flushed();
    this.events.flushed(grew);
  }

  private transact(work: () => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const stuck = setTimeout(() => reject(new Error('the engine could not begin a transaction')), BEGIN_MS);
      const begun = (): void => {
        clearTimeout(stuck);
        work();
      };
      this.root.transaction(begun).then(resolve, reject);
    });
  }

  private runWaiting(batch: BatchedChange[], refusals: Foreseen): void {
    const endMs = performance.now() + BATCH_MS;
    for (const waiting of this.waiting) {
      // A change that finds no room fails its whole batch. So changes of each growth then get a batch of their own.
      if (this.foundNoRoom && waiting.growth !== this.waiting[0].growth) break;
      batch.push(this.run(waiting, refusals));
      if (performance.now() > endMs) break;
    }
    this.waiting.splice(0, batch.length);
  }

  /** Each change is a nested transaction, so a change that throws does not fail the rest of the batch. */
  private run({ change, growth, onRun, reject }: WaitingChange, refusals: Foreseen): BatchedChange {
    try {
      const refusal = this.stopReason ?? refusals[growth];
      if (refusal) throw refusal;
      // Inside a transaction the engine runs this at once, although its type is asynchronous.
      const outcome: unknown = this.root.childTransaction(change as () => never);
      let flushed!: () => void;
      let failed!: (error: unknown) => void;
      const durable = new Promise<void>((resolve, rejectDurable) => {
        flushed = resolve;
        failed = rejectDurable;
      });
      onRun({ outcome, durable });
      return { growth, hasRun: true, flushed, failed };
    } catch (error) {
      return { growth, hasRun: false, flushed: () => reject(explained(error)), failed: reject };
    }
  }

  /**
   * The error for a failed batch. If nothing of the batch became visible, the store is as before. Otherwise its state
   * is unknown until the next start, and the writer stops. `txnId` is undefined if the transaction did not begin.
   */
  private async classifyFailure(error: unknown, txnId: number | undefined): Promise<unknown> {
    const cause = await causeOf(error);
    const lastTxnId = this.lastTxnId();
    if (lastTxnId !== undefined && txnId !== undefined && lastTxnId < txnId) {
      const refusal = explained(cause);
      this.refusedFlushIsOpen = true;
      this.foundNoRoom ||= isBrainError(refusal, 'storage_full');
      return this.events.foreseen(this.foundNoRoom).usual ?? refusal;
    }
    const detail =
      `The data folder could not be flushed to disk (${messageOf(cause)}), so nothing more is written. Check the ` +
      'disk, then start the service again. It goes back to the last acknowledged state.';
    return this.fail('store_failed', detail, cause);
  }

  /** The number of the last transaction that is visible; undefined when the engine has given up. */
  private lastTxnId(): number | undefined {
    try {
      return (this.root.getStats() as RootStats).lastTxnId;
    } catch {
      return undefined;
    }
  }
}

function overloaded(): BrainError {
  const detail = 'Too many changes wait for the disk. Nothing of this one was stored; try again.';
  return new BrainError('unavailable', 'store_overloaded', detail, { retryAfterSeconds: 1 });
}
