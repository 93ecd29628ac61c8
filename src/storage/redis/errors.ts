/** Translates an error of Redis or of the connection into `unavailable`, with a code and what to do. */
import { BrainError, isBrainError, messageOf } from '../../shared/errors.js';

/** A command got no answer because the connection broke or was missing. `sent`: Redis may have executed it. */
export class LostError extends Error {
  constructor(
    readonly sent: boolean,
    reason: unknown,
  ) {
    super(`the connection to Redis was lost: ${messageOf(reason)}`, { cause: reason });
  }

  get silent(): boolean {
    return /timeout|timed out|ETIMEDOUT/i.test(this.message);
  }
}

type Explanation = [code: string, detail: string];

/** By the first word of the error of Redis. */
const BY_WORD: Record<string, Explanation> = {
  WRONGPASS: ['store_auth_failed', 'Redis refused the user or the password. Correct them in REDIS_URL.'],
  NOAUTH: ['store_auth_failed', 'Redis requires a password. Add it to REDIS_URL.'],
  NOPERM: [
    'store_auth_failed',
    'The user in REDIS_URL lacks a permission in Redis. Grant it all keys under the prefix, and scripts.',
  ],
  READONLY: [
    'store_read_only',
    'Redis is a read-only replica; point the settings to the master, or promote this replica.',
  ],
  OOM: [
    'storage_full',
    'Redis is full. Nothing of a request that writes is stored. Raise its maxmemory or free space.',
  ],
  LOADING: ['store_loading', 'Redis is still loading its data; try again in a moment.'],
  MASTERDOWN: ['store_unreachable', 'Redis is a replica that has lost its master; try again in a moment.'],
  CLUSTERDOWN: [
    'store_unreachable',
    'The Redis Cluster is down. Run CLUSTER INFO and CLUSTER NODES to find the failed nodes.',
  ],
  MOVED: ['store_unreachable', 'The Redis Cluster has moved the data; try again in a moment.'],
  ASK: ['store_unreachable', 'The Redis Cluster is moving the data; try again in a moment.'],
  TRYAGAIN: ['store_unreachable', 'The Redis Cluster is moving the data; try again in a moment.'],
  MISCONF: [
    'store_not_persisting',
    'Redis cannot save to its disk, so it accepts no writes. Free space on its disk, or find the cause of the failed BGSAVE in its log.',
  ],
  NOREPLICAS: [
    'store_not_replicated',
    'Redis has too few replicas to take writes. Nothing was stored. Check its replicas.',
  ],
  BUSY: ['store_busy', 'A script of another program blocks Redis. End it with SCRIPT KILL.'],
  STALEINDEX: [
    'index_rebuilding',
    'A replica is building the indexes, or they belong to another release; try again in a moment.',
  ],
};

/** `key` is the key of a plain command. The error of a script names its key itself. */
export function explained(error: unknown, key?: string): BrainError {
  if (isBrainError(error)) return error;
  if (error instanceof LostError) return lost(error);
  const text = messageOf(error);
  const wrongType = /^WRONGTYPE (?:(\w+) at (.+)|.*)$/.exec(text);
  if (wrongType) {
    const [, type = 'another type', named = key] = wrongType;
    const detail = `The key ${named} holds ${type}, but the service needs another type there. Nothing was changed. Rename or remove the key.`;
    return unavailable('store_wrong_type', detail, error);
  }
  const damage = /^DAMAGED (.+) of (.+)$/.exec(text);
  if (damage) {
    const detail = `The ${damage[1]} of the key ${damage[2]} is damaged. Nothing was changed. Restore it from a backup, or remove it.`;
    return unavailable('store_damaged', detail, error);
  }
  const explanation = explanationOf(error);
  if (explanation) return unavailable(...explanation, error);
  return unavailable(
    'store_failed',
    'Redis failed in an unexpected way. See the log of the service for the cause.',
    error,
  );
}

function lost(error: LostError): BrainError {
  const explanation = explanationOf(error.cause);
  if (explanation) return unavailable(...explanation, error);
  const outcome = error.sent
    ? ' The outcome of this request may be unknown: send it again with the same Idempotency-Key.'
    : '';
  if (error.silent) {
    return unavailable('store_timeout', `Redis does not answer; try again in a moment.${outcome}`, error);
  }
  return unavailable('store_unreachable', `Redis cannot be reached; try again in a moment.${outcome}`, error);
}

function explanationOf(error: unknown): Explanation | undefined {
  const text = messageOf(error);
  return BY_WORD[FORBIDDEN_IN_SCRIPT.test(text) ? 'NOPERM' : (text.split(' ', 1)[0] ?? '')];
}

/** The missing permission of a script has another text than that of a command, in Redis 7.0 and in later releases. */
const FORBIDDEN_IN_SCRIPT = /^ERR (The user executing the script|ACL failure in script)/;

export function unavailable(code: string, detail: string, cause?: unknown): BrainError {
  return new BrainError('unavailable', code, detail, { cause, retryAfterSeconds: 1 });
}

/** This server takes no writes any more. A new connection finds the right one. */
export function isMoved(error: unknown): boolean {
  return /^(READONLY|MOVED|ASK) /.test(messageOf(error));
}
