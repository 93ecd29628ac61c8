import type { Request } from 'express';
import { BrainError } from '../../shared/errors.js';

/** The specification allows only `application/json`, and no other JSON type. */
export function jsonOf(request: Request): unknown {
  if (request.is('application/json')) return request.body;
  const detail = 'Send a JSON object, with Content-Type: application/json.';
  throw new BrainError('unsupported', 'unsupported_content_type', detail);
}
