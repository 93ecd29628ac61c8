/** What goes wrong with Redis, told as the one error that callers know: `unavailable`, with a code and what to do. */
import { BrainError, isBrainError, messageOf } from '../../shared/errors.js';

/** The connection broke under a command, or was not there for it. `sent` when the command may have been carried out. */
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

type Told = [code: string, detail: string];

/** By the first word of what Redis answered. */
const BY_WORD: Record<string, Told> = {
  WRONGPASS: ['store_auth_failed', 'Redis refused the user or the password; correct them in REDIS_URL.'],
  NOAUTH: ['store_auth_failed', 'Redis wants a password; put it into REDIS_URL.'],
  NOPERM: [
    'store_auth_failed',
    'The user in REDIS_URL lacks a permission in Redis; grant it all keys under the prefix, and scripts.',
  ],
  READONLY: [
    'store_read_only',
    'Redis is a read-only replica; point the settings to the master, or promote this one.',
  ],
  OOM: [
    'storage_full',
    'Redis is full; raise its maxmemory or free space. Nothing of a request that writes is stored.',
  ],
  LOADING: ['store_loading', 'Redis is loading its data; try again in a moment.'],
  MASTERDOWN: ['store_unreachable', 'The replica of Redis has lost its master; try again in a moment.'],
  CLUSTERDOWN: ['store_unreachable', 'The Redis Cluster is down; see to its nodes.'],
  MOVED: ['store_unreachable', 'The Redis Cluster has moved the data; try again in a moment.'],
  ASK: ['store_unreachable', 'The Redis Cluster is moving the data; try again in a moment.'],
  TRYAGAIN: ['store_unreachable', 'The Redis Cluster is moving the data; try again in a moment.'],
  MISCONF: ['store_not_persisting', 'Redis cannot save to its disk and takes no writes; see to its disk.'],
  NOREPLICAS: ['store_not_replicated', 'Redis has too few replicas to take writes; nothing was stored.'],
  BUSY: ['store_busy', 'A script of another program blocks Redis; end it with SCRIPT KILL.'],
  STALEINDEX: ['index_rebuilding', 'The indexes are being built, or belong to another release; try again.'],
};

/** `key` is the one that a plain command used; scripts name theirs themselves. */
export function explained(error: unknown, key?: string): BrainError {
  if (isBrainError(error)) return error;
  if (error instanceof LostError) return lost(error);
  const text = messageOf(error);
  const wrongType = /^WRONGTYPE (?:(\w+) at (.+)|.*)$/.exec(text);
  if (wrongType) {
    const [, type = 'another type', named = key] = wrongType;
    const detail = `The key ${named} holds ${type}, which does not belong there; rename or remove it. Nothing was changed.`;
    return unavailable('store_wrong_type', detail, error);
  }
  const damage = /^DAMAGED (.+) of (.+)$/.exec(text);
  if (damage) {
    const detail = `The ${damage[1]} of the key ${damage[2]} is damaged; restore it from a backup or remove it. Nothing was changed.`;
    return unavailable('store_damaged', detail, error);
  }
  const told = toldBy(error);
  if (told) return unavailable(...told, error);
  return unavailable('store_failed', 'Redis failed in an unexpected way; see the log of the service.', error);
}

function lost(error: LostError): BrainError {
  const told = toldBy(error.cause);
  if (told) return unavailable(...told, error);
  const outcome = error.sent ? ' The outcome of this request may be unknown.' : '';
  if (error.silent) {
    return unavailable('store_timeout', `Redis does not answer; try again in a moment.${outcome}`, error);
  }
  return unavailable('store_unreachable', `Redis cannot be reached; try again in a moment.${outcome}`, error);
}

function toldBy(error: unknown): Told | undefined {
  const text = messageOf(error);
  return BY_WORD[FORBIDDEN_IN_SCRIPT.test(text) ? 'NOPERM' : (text.split(' ', 1)[0] ?? '')];
}

/** A script is told in other words that its user lacks a permission, by Redis 7.0 and by later ones. */
const FORBIDDEN_IN_SCRIPT = /^ERR (The user executing the script|ACL failure in script)/;

export function unavailable(code: string, detail: string, cause?: unknown): BrainError {
  return new BrainError('unavailable', code, detail, { cause, retryAfterSeconds: 1 });
}

/** The instance we talk to is no longer the one to write to; a new connection finds the right one. */
export function isMoved(error: unknown): boolean {
  return /^(READONLY|MOVED|ASK) /.test(messageOf(error));
}
