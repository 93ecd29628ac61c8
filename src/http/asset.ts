/** Bytes that are the same for every caller. They are kept once, also compressed, so that many answers share them. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Request, Response } from 'express';
import { acceptsGzip } from './gzip.js';

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
