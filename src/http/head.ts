/**
 * Faults in the head of a request that a proxy in front may read in another way. The two would then see different callers,
 * or different ends of the request.
 */
import type { IncomingMessage } from 'node:http';

type Head = Pick<IncomingMessage, 'headers' | 'rawHeaders' | 'httpVersion'>;

/** A sentence about the fault; undefined if there is none. */
export function headFault({ headers, rawHeaders, httpVersion }: Head): string | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'The version of HTTP must be 1.1 or 1.0.';
  let hosts = 0;
  let authorizations = 0;
  // `headers` only has the first of several. The length is compared first, because this runs for each request.
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
    else if (name.length === 13 && name.toLowerCase() === 'authorization') authorizations += 1;
  }
  if (hosts > 1) return 'The request has several Host headers; send one.';
  if (hosts === 0 && httpVersion === '1.1') return 'The request has no Host header; HTTP/1.1 requires one.';
  if (authorizations > 1) return 'The request has several Authorization headers; send one.';
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return undefined;
  if (httpVersion !== '1.1') return 'Transfer-Encoding needs HTTP/1.1; send Content-Length instead.';
  return coding.toLowerCase() === 'chunked'
    ? undefined
    : 'The only Transfer-Encoding that is accepted is chunked; send the body in it, or with Content-Length.';
}
