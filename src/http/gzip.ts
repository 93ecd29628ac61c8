/** Compresses large answers for clients that accept it. */

import { gzip } from 'node:zlib';
import type { Response } from 'express';

/** Below this the headers and the time of the compression cost more than the bytes that it saves. */
const LARGE_CHARACTERS = 16_384;
/** Level 1 takes a third of the time of the default, for answers a fifth larger. */
const LEVEL = 1;
/** The threads that compress also write the embedded store to disk, so most of them stay free. */
const AT_ONCE = 2;

const CODING = /^\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([\d.]+)\s*)?$/i;

/** By RFC 9110, 12.5.3. A part that names gzip counts before `*`. */
export function acceptsGzip(header: string | string[] | undefined): boolean {
  if (typeof header !== 'string') return false;
  const parts = header.split(',').map((part) => CODING.exec(part));
  const part = parts.find((found) => found && found[1] !== '*') ?? parts.find((found) => found !== null);
  return part ? Number(part[2] ?? 1) > 0 : false;
}

export class LargeAnswers {
  private underWay = 0;

  /** Ends the response with the compressed text, and returns true; false if the text is to be sent as it is. */
  end(response: Response, text: string): boolean {
    // The ETag is that of the text; a compressed answer would need another one, which If-Match would not know.
    if (text.length < LARGE_CHARACTERS || response.hasHeader('ETag')) return false;
    response.setHeader('Vary', 'Accept-Encoding');
    const { method, headers } = response.req;
    if (method === 'HEAD' || this.underWay >= AT_ONCE || !acceptsGzip(headers['accept-encoding']))
      return false;
    this.underWay += 1;
    gzip(text, { level: LEVEL }, (error, bytes) => {
      this.underWay -= 1;
      if (!error) response.setHeader('Content-Encoding', 'gzip');
      const sent = error ? Buffer.from(text) : bytes;
      response.setHeader('Content-Length', sent.length);
      response.end(sent);
    });
    return true;
  }
}
