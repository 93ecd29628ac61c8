/** A status that a client may send in the body or in the query. */
import { invalid } from './errors.js';

/** Returns the one status. Refuses a request that names none, or two that differ. `parameter` names the query parameter. */
export function requiredStatus<T extends string>(
  inBody: T | undefined,
  inQuery: T | undefined,
  parameter: string,
): T {
  const status = inBody ?? inQuery;
  if (status !== undefined && (inQuery === undefined || inQuery === status)) return status;
  const detail = `is required in the body or as \`?${parameter}=\`; if both are given, they must be equal`;
  throw invalid('The request must name exactly one status.', [
    { pointer: '/status', detail, code: 'required' },
  ]);
}
