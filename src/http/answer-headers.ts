/** The headers of every answer, also of problems, streams and files. */
import type { Request, Response } from 'express';

/** A handler may set another `Cache-Control`. */
export const ANSWER_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
} as const;

const ENTRIES = Object.entries(ANSWER_HEADERS);
/** A year. Subdomains are not this service's to decide about. */
const ONLY_TLS = 'max-age=31536000';

export function setAnswerHeaders(request: Request, response: Response): void {
  for (const [name, value] of ENTRIES) response.setHeader(name, value);
  // `secure` is only true if a trusted proxy said so; this service does not end TLS itself.
  if (request.headers['x-forwarded-proto'] !== undefined && request.secure)
    response.setHeader('Strict-Transport-Security', ONLY_TLS);
}
