/** Reads bodies. It has the same limits as body-parser, which costs as much as all validation. */
import type { IncomingMessage } from 'node:http';
import type { Request, Response } from 'express';
import { BrainError, type Fault } from '../shared/errors.js';
import { duplicateMemberIn, mostMembersIn } from './duplicate-members.js';
import { isNestedDeeply } from './nesting.js';
import type { BodyRules } from './request.js';

const KIB = 1024;
/** Shorter bodies are parsed as they are: it costs little, and the answer names the fault. */
const LONG_BYTES = 64 * KIB;

export type RequestWithBody = Request & { arrival?: Arrival; rawBody?: string };

/** A body while it arrives. */
class Arrival {
  /** The whole body, once it is complete. */
  bytes?: Buffer;
  private chunks: Buffer[] = [];
  private size = 0;
  private failure?: () => BrainError;
  private settled?: () => void;

  constructor(request: IncomingMessage, limit: number) {
    const length = request.headers['content-length'];
    request.on('data', (chunk: Buffer) => {
      this.size += chunk.length;
      // The rest is discarded when it arrives. The answer does not wait for it.
      if (this.size > limit) this.fail(() => tooLarge(limit));
      else this.chunks.push(chunk);
      if (this.size === Number(length)) this.finish();
    });
    if (length === undefined) request.on('end', () => this.finish());
    request.on('close', () => this.fail(cutOff));
  }

  async whole(): Promise<Buffer> {
    if (!this.bytes && !this.failure) await new Promise<void>((settled) => (this.settled = settled));
    if (!this.bytes) throw (this.failure ?? cutOff)();
    return this.bytes;
  }

  private finish(): void {
    if (this.failure) return;
    this.bytes = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
    this.settled?.();
  }

  private fail(failure: () => BrainError): void {
    if (this.bytes || this.failure) return;
    this.failure = failure;
    this.chunks = [];
    this.settled?.();
  }
}

/**
 * A short body mostly arrives in one packet with its headers, so it is collected first and no one waits for it later. A
 * longer body is read after the key is checked, so that a caller without a key cannot make the service read megabytes.
 */
export function afterShortBody(
  request: IncomingMessage & { arrival?: Arrival },
  shortBytes: number,
  serve: () => void,
): void {
  const { headers } = request;
  const length = Number(headers['content-length'] ?? 0);
  if (length > 0 && length <= shortBytes && headers.expect === undefined) {
    request.arrival = new Arrival(request, shortBytes);
    // By then the stream has delivered what has arrived. The input guard waits for the rest.
    process.nextTick(serve);
  } else serve();
}

export function hasBody({ headers }: Request): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

const JSON_TYPE = /^application\/(?:json|[\w.+-]+\+json)\s*(?:;\s*charset="?utf-8"?\s*)?$/i;
const YAML_TYPE = /^(?:application|text)\/(?:x-)?yaml\s*(?:;\s*charset="?utf-8"?\s*)?$/i;

/** Sets `body` and `rawBody`. Returns a promise only if the body is not complete yet. */
export function readBody(
  request: RequestWithBody,
  response: Response,
  { maxBytes: limit, yaml }: BodyRules,
): undefined | Promise<void> {
  const type = request.headers['content-type'] ?? '';
  const isYaml = yaml && YAML_TYPE.test(type);
  if (!isYaml && !JSON_TYPE.test(type)) {
    const types = yaml ? 'application/json or application/yaml' : 'application/json';
    const detail = `Send the body as ${yaml ? 'JSON or YAML' : 'JSON'} in UTF-8, with Content-Type: ${types}.`;
    throw new BrainError('unsupported', 'unsupported_content_type', detail);
  }
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
    const detail = 'Send the body without Content-Encoding; compressed bodies are not accepted.';
    throw new BrainError('unsupported', 'unsupported_content_encoding', detail);
  }
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  const take = (bytes: Buffer): undefined => {
    if (!isYaml) expectShallow(bytes);
    const text = decodeUtf8(bytes);
    request.rawBody = text;
    request.body = isYaml ? text : parse(text);
  };
  if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue();
  const arrival = request.arrival ?? new Arrival(request, limit);
  return arrival.bytes ? take(arrival.bytes) : arrival.whole().then(take);
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function decodeUtf8(bytes: Buffer): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw malformed('The body is not valid UTF-8; encode it as UTF-8.');
  }
}

/** V8 takes up to a second for some megabytes of nested lists, and no route accepts what is nested so deeply. */
function expectShallow(bytes: Buffer): void {
  if (bytes.length > LONG_BYTES && isNestedDeeply(bytes))
    throw malformed('The body nests lists and objects too deeply; no route accepts that.');
}

function parse(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const where = /position (\d+)/.exec((error as Error).message)?.[1];
    const place = where === undefined ? '' : `, from character ${where} on`;
    throw malformed(`The body is not valid JSON${place}. Correct it and send it again.`);
  }
  // A duplicate leaves fewer members in the value than the text has. The second look is exact: a text may hold a colon.
  if (membersIn(value) < mostMembersIn(text)) refuseDuplicate(text);
  return value;
}

/**
 * Counts the members of all objects in a value. Refuses `__proto__`: here it is an own property, but a copy of the object
 * would get it as its prototype. Without recursion, because the client chooses the depth.
 */
function membersIn(value: unknown): number {
  let count = 0;
  const open: unknown[] = [value];
  while (open.length > 0) {
    const one = open.pop();
    if (typeof one !== 'object' || one === null) continue;
    if (Array.isArray(one)) {
      for (const member of one) if (typeof member === 'object') open.push(member);
      continue;
    }
    for (const name in one) {
      count += 1;
      if (name === '__proto__')
        throw malformed('The key `__proto__` is not allowed anywhere in a body; remove it.');
      const member = (one as Record<string, unknown>)[name];
      if (typeof member === 'object') open.push(member);
    }
  }
  return count;
}

function refuseDuplicate(text: string): void {
  const pointer = duplicateMemberIn(text);
  if (pointer === undefined) return;
  const detail = 'occurs twice in its object; send each member once';
  const errors = [{ pointer, detail, code: 'duplicate_member' }];
  throw malformed('The body has a member twice; see errors.', errors);
}

function cutOff(): BrainError {
  return malformed('The connection was closed before the body was complete; send it again.');
}

function malformed(detail: string, errors?: Fault[]): BrainError {
  return new BrainError('malformed', 'malformed_json', detail, { errors });
}

function tooLarge(limit: number): BrainError {
  return new BrainError(
    'too_large',
    'body_too_large',
    `The body may have at most ${limit / KIB} KiB; send less.`,
  );
}
