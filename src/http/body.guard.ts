/**
 * Reads the body of a request after the guard has let it pass, so that nobody without a key can make the service read
 * megabytes. A JSON reader of its own, with the same limits as body-parser, costs a fraction of it; body-parser alone cost
 * as much as all validation.
 */
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';
import { BrainError } from '../shared/errors.js';
import { type BodyRules, bodyRulesOf } from './request.js';

const KIB = 1024;

/**
 * A guard by its place, not by its nature: it runs behind the one that asks for the key and before the pipes, and an
 * interceptor at that place would wrap every request into observables.
 */
@Injectable()
export class BodyGuard implements CanActivate {
  /** Reading metadata by reflection for each request would cost more than most bodies. */
  private readonly rules = new WeakMap<object, BodyRules>();

  canActivate(context: ExecutionContext): true | Promise<true> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request & { rawBody?: string }>();
    if (request.method === 'GET' || request.method === 'HEAD' || !hasBody(request)) return true;
    return readBody(request, http.getResponse<Response>(), this.rulesOf(context.getHandler()));
  }

  private rulesOf(handler: object): BodyRules {
    const known = this.rules.get(handler);
    if (known) return known;
    const rules = bodyRulesOf(handler);
    this.rules.set(handler, rules);
    return rules;
  }
}

function hasBody(request: Request): boolean {
  const { headers } = request;
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

const JSON_TYPE = /^application\/(?:json|[\w.+-]+\+json)\s*(?:;\s*charset="?utf-8"?\s*)?$/i;
const YAML_TYPE = /^(?:application|text)\/(?:x-)?yaml\s*(?:;\s*charset="?utf-8"?\s*)?$/i;

async function readBody(
  request: Request & { rawBody?: string },
  response: Response,
  { maxBytes: limit, yaml }: BodyRules,
): Promise<true> {
  const type = request.headers['content-type'] ?? '';
  const isYaml = yaml && YAML_TYPE.test(type);
  if (!isYaml && !JSON_TYPE.test(type)) {
    const types = yaml ? 'application/json or application/yaml' : 'application/json';
    const detail = `Send the body as ${yaml ? 'JSON or YAML' : 'JSON'} in UTF-8, with Content-Type: ${types}.`;
    throw new BrainError('unsupported', 'unsupported_content_type', detail);
  }
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
    const detail = 'Send the body without Content-Encoding; compressed bodies are not taken.';
    throw new BrainError('unsupported', 'unsupported_content_encoding', detail);
  }
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue();
  const text = decodeUtf8(await readBytes(request, limit));
  request.rawBody = text;
  request.body = isYaml ? text : parse(text);
  return true;
}

function readBytes(request: Request, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        // What still comes is let go by unread; the answer is on its way.
        request.removeAllListeners('data');
        request.resume();
        reject(tooLarge(limit));
      } else chunks.push(chunk);
    });
    request.once('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    request.once('error', reject);
    request.once('close', () => {
      if (!request.complete) reject(malformed('The connection was closed before the body was complete.'));
    });
  });
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function decodeUtf8(bytes: Buffer): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw malformed('The body is not valid UTF-8.');
  }
}

function parse(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const where = /position (\d+)/.exec((error as Error).message)?.[1];
    throw malformed(
      `The body is not valid JSON${where === undefined ? '' : `, from character ${where} on`}.`,
    );
  }
  // `__proto__` is an own property here, but becomes a prototype in the first object it is copied into.
  if (text.includes('__proto__') || text.includes('\\u')) refuseProto(value);
  return value;
}

/** Walks without recursion: the nesting is what a client chose. */
function refuseProto(value: unknown): void {
  const open: unknown[] = [value];
  while (open.length > 0) {
    const one = open.pop();
    if (typeof one !== 'object' || one === null) continue;
    if (Object.hasOwn(one, '__proto__'))
      throw malformed('The key `__proto__` is not taken anywhere in a body.');
    // One by one: a list of a hundred thousand members is more than one call takes as arguments.
    for (const member of Object.values(one)) open.push(member);
  }
}

function malformed(detail: string): BrainError {
  return new BrainError('malformed', 'malformed_json', detail);
}

function tooLarge(limit: number): BrainError {
  return new BrainError(
    'too_large',
    'body_too_large',
    `The body may have at most ${limit / KIB} KiB; send less.`,
  );
}
