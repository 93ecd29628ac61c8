/** Bytes that are the same for every caller. They are kept once, also compressed, so that many answers share them. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Request, Response } from 'express';

export interface Asset {
  type: string;
  plain: Buffer;
  zipped: Buffer;
}

export async function assetOf(type: string, plain: Buffer): Promise<Asset> {
  return { type, plain, zipped: await promisify(gzip)(plain, { level: 9 }) };
}

export function sendAsset({ type, plain, zipped }: Asset, request: Request, response: Response): void {
  const zips = acceptsGzip(request.headers['accept-encoding']);
  const bytes = zips ? zipped : plain;
  response.setHeader('Content-Type', type);
  response.setHeader('Vary', 'Accept-Encoding');
  if (zips) response.setHeader('Content-Encoding', 'gzip');
  response.setHeader('Content-Length', bytes.length);
  response.end(bytes);
}

const CODING = /^\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([\d.]+)\s*)?$/i;

/** By RFC 9110, 12.5.3. A part that names gzip counts before `*`. */
function acceptsGzip(header: string | string[] | undefined): boolean {
  if (typeof header !== 'string') return false;
  const parts = header.split(',').map((part) => CODING.exec(part));
  const part = parts.find((found) => found && found[1] !== '*') ?? parts.find((found) => found !== null);
  return part ? Number(part[2] ?? 1) > 0 : false;
}
