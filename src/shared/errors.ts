/** The kinds of errors that services and stores throw. Only `http/problem.filter.ts` knows the HTTP status of each. */
export type ErrorKind =
  | 'malformed'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'wrong_method'
  | 'conflict'
  | 'stale_version'
  | 'too_large'
  | 'unsupported'
  | 'invalid'
  | 'too_many'
  | 'unavailable';

/** One fault in a body or a query: where it is (a JSON pointer), what to do, and a stable code. */
export interface Fault {
  pointer: string;
  detail: string;
  code: string;
}

/**
 * The only error that this service throws on purpose. `code` is stable, for programs. `detail` says what to do, for people.
 * Any other error is a bug, and the answer is 500.
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

/** The store logs this error itself, once a second. A line of each part that needs the store would only repeat it. */
export function isStoreAway(error: unknown): boolean {
  return isBrainError(error, 'store_unreachable');
}

/** The JSON pointer to a member. */
export function pointerTo(name: string): string {
  return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** The error for all faults of a body or a query. */
export function faulty(faults: Fault[], where: 'body' | 'query' = 'body'): BrainError {
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  return invalid(`The ${where} has ${count}; see errors.`, faults);
}

/** The error for a body or a query with these faults. A `pointer` is empty if the fault concerns all of it. */
export function invalid(detail: string, errors: Fault[]): BrainError {
  return new BrainError('invalid', 'invalid_request', detail, { errors });
}

/** The text of a thrown value, for a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
