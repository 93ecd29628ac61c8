/**
 * The loop behind `Store.transaction`, the same for both backends: run the work, commit its plan, and run the work
 * again when something that it read has changed.
 */
import { sleep } from '../shared/clock.js';
import { BrainError, isBrainError } from '../shared/errors.js';
import { damaged } from './codec.js';
import type { EventRecord } from './event-log.js';
import type { Outcome, Plan } from './plan.js';
import { alreadyExists, PlanningTx, type TransactionReads } from './planning-tx.js';
import { busy, type KeyedQueues } from './queues.js';
import type { IdempotencyKey, TransactionOptions, Tx } from './store.js';

/** What the loop needs from a backend. */
export interface TransactionBackend extends TransactionReads {
  readRecord(key: string): Promise<string | undefined>;
  commit(plan: Plan): Promise<Outcome>;
}

/** After this many runs the caller gets `store_busy`. */
const MAX_ATTEMPTS = 10;
const FIRST_BACKOFF_MS = 5;
const MAX_BACKOFF_MS = 1000;
/** A caller must get `store_busy` within two seconds. The rest is for the way of the answer. */
const MAX_WAIT_MS = 1600;

export async function runTransaction<T>(
  backend: TransactionBackend,
  queues: KeyedQueues,
  work: (tx: Tx) => Promise<T> | T,
  { idempotency, essential }: TransactionOptions = {},
): Promise<T> {
  const startedMs = performance.now();
  let leave: (() => void) | undefined;
  try {
    for (let attempt = 1; ; attempt += 1) {
      const { plan, answer } = await planned(backend, work, idempotency);
      if (!plan) return answer();
      plan.essential = essential;
      const outcome = await backend.commit(plan);
      if (outcome.status === 'done') {
        settle(plan.events, outcome);
        // The writes are visible. The next transaction in the queue may build on them now, and both share one flush.
        leave?.();
        await outcome.durable;
        return answer();
      }
      if (outcome.status === 'taken') {
        await outcome.durable;
        throw alreadyExists(outcome.what);
      }
      if (outcome.status === 'full') {
        await outcome.durable;
        throw outcome.refusal();
      }
      if (outcome.status === 'lease_lost') throw leaseLost(outcome.name);
      const isLate = (): boolean => performance.now() - startedMs > MAX_WAIT_MS;
      if (attempt >= MAX_ATTEMPTS || isLate()) throw busy();
      // The transactions of this process wait in a queue, and the first one always wins against the others. If the
      // first one loses again, it lost to another replica. Against that only a pause helps.
      if (leave) await sleep(backoffMs(attempt));
      else leave = await queues.enter(outcome.what, startedMs + MAX_WAIT_MS);
      if (isLate()) throw busy();
    }
  } finally {
    leave?.();
  }
}

function settle(events: EventRecord[], { position, refused }: { position?: string; refused?: string }): void {
  for (const event of events) {
    if (refused) event.refused?.(refused);
    else if (position) event.written?.(position);
  }
}

interface Planned<T> {
  /** What must be committed before the answer is given; undefined when the work did not use the store. */
  plan?: Plan;
  /** Returns the result, or throws the refusal. */
  answer: () => T;
}

/**
 * Runs the work once. A result without a change, a refusal and the answer of an earlier run follow from what was read,
 * like any other answer. So each of them has a plan that checks the reads.
 */
async function planned<T>(
  backend: TransactionBackend,
  work: (tx: Tx) => Promise<T> | T,
  idempotency?: IdempotencyKey,
): Promise<Planned<T>> {
  const tx = new PlanningTx(backend);
  const recorded = idempotency && (await backend.readRecord(idempotency.key));
  if (idempotency && recorded !== undefined) {
    return {
      plan: tx.checkOnly({ key: idempotency.key, before: recorded }),
      answer: () => replay<T>(recorded, idempotency),
    };
  }
  try {
    const result = await work(tx);
    const after = idempotency && JSON.stringify({ body: idempotency.body, result });
    return { plan: tx.plan(idempotency && { key: idempotency.key, after }), answer: () => result };
  } catch (error) {
    // Only a refusal is an answer of the work. An unavailable store and a bug are not.
    if (!isBrainError(error) || error.kind === 'unavailable') throw error;
    const refuse = (): never => {
      throw error;
    };
    return { plan: tx.checkOnly(idempotency && { key: idempotency.key }), answer: refuse };
  }
}

function backoffMs(attempt: number): number {
  const most = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
  return most / 2 + (Math.random() * most) / 2;
}

function replay<T>(recorded: string, idempotency: IdempotencyKey): T {
  let record: { body: string; result: T };
  try {
    record = JSON.parse(recorded) as { body: string; result: T };
  } catch (cause) {
    throw damaged('the record of an idempotency key', cause);
  }
  if (record.body === idempotency.body) return record.result;
  const detail =
    'This Idempotency-Key was used with another body within 24 hours. Use a new key for a new request.';
  throw new BrainError('invalid', 'idempotency_key_reused', detail);
}

function leaseLost(name: string): BrainError {
  const detail = `Another process holds the lease ${name}. Nothing was changed. Acquire the lease again before the next write.`;
  return new BrainError('conflict', 'lease_lost', detail);
}
