/**
 * The kinds of errors that services and stores throw; only `http/problem.filter.ts` knows the HTTP status of each.
 */
export type ErrorKind =
  | 'malformed'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'stale_version'
  | 'too_large'
  | 'unsupported'
  | 'invalid'
  | 'too_many'
  | 'unavailable';

/** One fault in what a client sent: where (a JSON pointer), what to do about it, and a code that stays. */
export interface Fault {
  pointer: string;
  detail: string;
  code: string;
}

/**
 * The only error that this service throws on purpose. `code` is stable and meant for programs; `detail` is a sentence that
 * says to a person what to do. Any other error is a bug and is answered as one.
 */
export class BrainError extends Error {
  constructor(
    readonly kind: ErrorKind,
    readonly code: string,
    readonly detail: string,
    readonly more: {
      errors?: Fault[];
      retryAfterSeconds?: number;
      cause?: unknown;
      /** Further members of the answer. */
      members?: Record<string, unknown>;
    } = {},
  ) {
    super(`${code}: ${detail}`, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'BrainError';
  }
}

export function isBrainError(error: unknown, code?: string): error is BrainError {
  return error instanceof BrainError && (code === undefined || error.code === code);
}

/** A member as a JSON pointer. */
export function pointerTo(name: string): string {
  return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** Every fault of a body or a query at once. */
export function faulty(faults: Fault[], where: 'body' | 'query' = 'body'): BrainError {
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  return invalid(`The ${where} has ${count}; see errors.`, faults);
}

/** A fault found in a body or a query; `pointer` is empty for the whole of it. */
export function invalid(detail: string, errors: Fault[]): BrainError {
  return new BrainError('invalid', 'invalid_request', detail, { errors });
}

/** The text of whatever was thrown, for a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
