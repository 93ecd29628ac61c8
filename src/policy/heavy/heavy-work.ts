/**
 * Runs work in threads that could hold the event loop, or take much memory: drafts, and texts in YAML. A thread can be
 * stopped: when it takes too long, needs too much memory, or nobody waits for it any more. Two run at once, a few wait.
 */
import { Worker } from 'node:worker_threads';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { BrainError } from '../../shared/errors.js';
import { callerGone } from '../policy.errors.js';
import type { Draft, Tried } from './try-draft.js';
import { workerFile } from './worker-file.js';

/** Each can use a whole core. */
const MAX_THREADS = 2;
const MAX_WAITING = 8;

/** The kinds of work: what goes in, and what comes out. Both are copied between the threads. */
interface Kinds {
  draft: { input: Draft; result: Tried };
  yaml: { input: string; result: string };
}
type Kind = keyof Kinds;

/** The longest time, and the most memory for objects. Memory for texts is not bounded by this, but bodies are. */
const LIMITS: Record<Kind, { seconds: number; mib: number }> = {
  draft: { seconds: 5, mib: 256 },
  // The parser needs about a millisecond for a kilobyte, and a hundred times the memory of the text.
  yaml: { seconds: 30, mib: 2048 },
};

export type Job = { [K in Kind]: { kind: K; input: Kinds[K]['input'] } }[Kind];
/** `fault` says what is wrong with the input. */
export type Answered = { result: unknown } | { fault: string };

/** Thrown when the thread says what is wrong with its input. */
export class JobFault extends Error {}

@Injectable()
export class HeavyWork implements OnApplicationShutdown {
  readonly limits = structuredClone(LIMITS);
  private readonly threads = new Set<Worker>();
  private active = 0;
  private readonly waiting = new Set<() => void>();

  /** @param gone is aborted when the caller does not wait any more */
  async run<K extends Kind>(
    kind: K,
    input: Kinds[K]['input'],
    gone?: AbortSignal,
  ): Promise<Kinds[K]['result']> {
    await this.slot(gone);
    try {
      return (await this.inThread(kind, { kind, input } as Job, gone)) as Kinds[K]['result'];
    } finally {
      this.release();
    }
  }

  /** How many threads run. */
  get running(): number {
    return this.threads.size;
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all([...this.threads].map((thread) => thread.terminate()));
  }

  private async slot(gone: AbortSignal | undefined): Promise<void> {
    if (gone?.aborted) throw callerGone();
    if (this.active < MAX_THREADS) {
      this.active += 1;
      return;
    }
    if (this.waiting.size >= MAX_WAITING) throw busy();
    await new Promise<void>((resolve, reject) => {
      const start = (): void => {
        gone?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.waiting.delete(start);
        reject(callerGone());
      };
      this.waiting.add(start);
      gone?.addEventListener('abort', leave, { once: true });
    });
  }

  /** Hands the slot to the work that has waited longest. */
  private release(): void {
    const [next] = this.waiting;
    if (next === undefined) this.active -= 1;
    else {
      this.waiting.delete(next);
      next();
    }
  }

  /** Settles when the thread has ended, so that no more than two ever run. */
  private inThread(kind: Kind, workerData: Job, gone: AbortSignal | undefined): Promise<unknown> {
    const { seconds, mib } = this.limits[kind];
    const resourceLimits = { maxOldGenerationSizeMb: mib };
    // The settings of the service, which may have secrets, are not copied into the environment of the thread.
    const thread = new Worker(workerFile(), { workerData, resourceLimits, env: {} });
    this.threads.add(thread);
    return new Promise((resolve, reject) => {
      let answered: Answered | undefined;
      let failure: Error | undefined;
      const stop = (error: Error): void => {
        failure ??= error;
        void thread.terminate();
      };
      const leave = (): void => stop(callerGone());
      const timer = setTimeout(() => stop(tooCostly(`takes more than ${seconds} seconds`)), seconds * 1000);
      gone?.addEventListener('abort', leave, { once: true });
      thread.once('message', (message: Answered) => {
        answered = message;
      });
      thread.once('error', (error: Error & { code?: string }) => {
        const isMemory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
        failure ??= isMemory ? tooCostly(`needs more than ${mib} MiB of memory`) : error;
      });
      thread.once('exit', (code) => {
        clearTimeout(timer);
        gone?.removeEventListener('abort', leave);
        this.threads.delete(thread);
        if (answered === undefined)
          reject(failure ?? new Error(`a thread for ${kind} ended with code ${code}`));
        else if ('fault' in answered) reject(new JobFault(answered.fault));
        else resolve(answered.result);
      });
    });
  }
}

function busy(): BrainError {
  const detail = `The service tries ${MAX_THREADS} drafts or imports at once, and ${MAX_WAITING} wait already; try again in a second.`;
  return new BrainError('too_many', 'busy', detail, { retryAfterSeconds: 1 });
}

function tooCostly(what: string): BrainError {
  const detail = `This ${what}, so it was stopped; send less at once, or use fewer and simpler patterns.`;
  return new BrainError('invalid', 'too_costly', detail);
}
