/**
 * Sends an HTTP request. A mission must not reach services that only this machine or its network can see, so every private address is
 * refused. The check comes after name resolution, the connection uses the checked address, and redirects are checked again.
 */
import { lookup as resolve } from 'node:dns';
import { type IncomingMessage, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { messageOf } from '../../shared/errors.js';
import { isJson } from '../../shared/json.js';
import { isPrivate } from './private-address.js';
import {
  hasTemplate,
  type ParamsForm,
  paramFaults,
  type StepContext,
  StepFailure,
  type StepKind,
} from './step.js';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const MAX_URL = 2048;
const MAX_HEADERS = 50;
const MAX_ANSWER_BYTES = 1024 * 1024;
const MAX_REDIRECTS = 5;
/** Headers that the HTTP client sets itself. Some of them could make two parsers disagree about where a request ends. */
const OWN_HEADERS = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'te',
  'trailer',
  'expect',
]);
/** Headers that a redirect may carry to another origin. Any other header may be a credential for the first target. */
const CARRIED = new Set(['accept', 'accept-language', 'content-type', 'idempotency-key', 'user-agent']);
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]{0,4096}$/;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** Says whether no request may go to an address. */
type Refusal = (address: string) => boolean;

interface HttpParams {
  method?: string;
  url: string;
  headers?: Record<string, string>;
  body?: unknown;
  expected_status?: number | number[];
}

export function httpStep(refuses: Refusal = isPrivate): StepKind {
  return {
    urls: ['url'],
    faults: (params, form) =>
      paramFaults(params, form, {
        method: {
          what: `one of ${METHODS.join(', ')}`,
          allows: (value) => METHODS.includes(value as string),
        },
        url: {
          required: true,
          what: `an http or https URL of up to ${MAX_URL} characters, without user and password`,
          allows: isUrl,
        },
        headers: {
          what: `an object of up to ${MAX_HEADERS} header names with text, except those that the service sets`,
          allows: (value) => areHeaders(value, form),
        },
        body: { what: 'a JSON value; text is sent unchanged', allows: isJson },
        expected_status: {
          what: 'a status from 100 to 599, or a list of them; the default is any 2xx',
          allows: areStatuses,
        },
      }),
    run: (params, context) => send(params as unknown as HttpParams, context, refuses),
  };
}

async function send(params: HttpParams, context: StepContext, refuses: Refusal): Promise<unknown> {
  let url = new URL(params.url);
  let method = params.method ?? (params.body === undefined ? 'GET' : 'POST');
  let body =
    params.body === undefined
      ? undefined
      : Buffer.from(typeof params.body === 'string' ? params.body : JSON.stringify(params.body));
  const headers = headersOf(params, context);
  for (let redirects = 0; ; redirects += 1) {
    const answer = await exchange(url, { method, headers, body, signal: context.signal, refuses });
    const location = answer.headers.location;
    if (!REDIRECTS.has(answer.status) || location === undefined || expected(params).includes(answer.status)) {
      return resultOf(params, answer);
    }
    if (redirects === MAX_REDIRECTS)
      throw new StepFailure(
        'too_many_redirects',
        `the target redirects more than ${MAX_REDIRECTS} times; use the last URL`,
        true,
      );
    const next = redirected(url, location);
    if (next.origin !== url.origin)
      for (const name of Object.keys(headers)) if (!CARRIED.has(name)) delete headers[name];
    if (answer.status === 303 || (method === 'POST' && answer.status < 303)) {
      method = 'GET';
      body = undefined;
      delete headers['content-type'];
    }
    url = next;
  }
}

function headersOf(
  { headers = {}, body }: HttpParams,
  { idempotencyKey }: StepContext,
): Record<string, string> {
  const all: Record<string, string> = {
    'user-agent': 'brain-control-plane',
    'idempotency-key': idempotencyKey,
  };
  if (body !== undefined)
    all['content-type'] = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  for (const [name, value] of Object.entries(headers)) all[name.toLowerCase()] = value;
  return all;
}

function redirected(from: URL, location: string): URL {
  let url: URL;
  try {
    url = new URL(location, from);
  } catch {
    throw new StepFailure('bad_redirect', 'the target redirects to an invalid URL; use the final URL', true);
  }
  if (isUrl(url.href) && !(from.protocol === 'https:' && url.protocol === 'http:')) return url;
  throw new StepFailure(
    'bad_redirect',
    `the target redirects to ${url.protocol}//${url.host}; only http and https URLs without a password are followed, and none from https to http; use the final URL`,
    true,
  );
}

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

interface Exchange {
  method: string;
  headers: Record<string, string>;
  body: Buffer | undefined;
  signal: AbortSignal;
  refuses: Refusal;
}

function exchange(url: URL, { method, headers, body, signal, refuses }: Exchange): Promise<Answer> {
  return new Promise((done, failed) => {
    const fail = (error: unknown): void =>
      failed(error instanceof StepFailure ? error : new StepFailure('http_failed', messageOf(error)));
    const host = url.hostname.replace(/^\[|\]$/g, '');
    if (isIP(host) && refuses(host)) return fail(privateTarget(url));
    const length = body ? { 'content-length': String(body.length) } : {};
    const send = url.protocol === 'https:' ? tlsRequest : plainRequest;
    const request = send(url, {
      method,
      headers: { ...headers, ...length },
      signal,
      agent: false,
      lookup: allowedOnly(url, refuses),
    });
    request.on('error', fail);
    request.once('response', (response) => {
      const parts: Buffer[] = [];
      let size = 0;
      response.on('data', (part: Buffer) => {
        size += part.length;
        parts.push(part);
        if (size > MAX_ANSWER_BYTES)
          request.destroy(
            new StepFailure(
              'answer_too_large',
              `the answer is larger than ${MAX_ANSWER_BYTES} bytes; ask for less`,
              true,
            ),
          );
      });
      response.on('error', () =>
        fail(
          new StepFailure(
            'http_failed',
            'the connection closed before the answer was complete; check the target',
          ),
        ),
      );
      response.once('end', () =>
        done({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
      );
    });
    request.end(body);
  });
}

/** Resolves the name for the connection itself. A second resolution could return another address than the checked one. */
function allowedOnly(url: URL, refuses: Refusal): LookupFunction {
  return (host, options, done) => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error) return done(error, '', 0);
      const good = addresses.filter(({ address }) => !refuses(address));
      if (good.length < addresses.length || good.length === 0) return done(privateTarget(url), '', 0);
      if (options.all) return done(null, good);
      done(null, good[0].address, good[0].family);
    });
  };
}

function privateTarget({ host }: URL): StepFailure {
  const detail = `${host} has a private address, which missions must not reach; BRAIN_HTTP_ALLOW_PRIVATE=true allows it`;
  return new StepFailure('private_target', detail, true);
}

function expected({ expected_status }: HttpParams): number[] {
  return expected_status === undefined ? [] : [expected_status].flat();
}

function resultOf(params: HttpParams, { status, headers, body }: Answer): unknown {
  const wanted = expected(params);
  const good = wanted.length === 0 ? status >= 200 && status < 300 : wanted.includes(status);
  if (!good) {
    // A refusal is final, except for statuses that are temporary.
    const isTemporary = status >= 500 || [408, 425, 429].includes(status);
    throw new StepFailure(
      'unexpected_status',
      `the target answered ${status}; if that is a success, name it in expected_status`,
      !isTemporary,
    );
  }
  return { status, headers, body: bodyValue(headers['content-type'] ?? '', body.toString('utf8')) };
}

function bodyValue(type: string, text: string): unknown {
  if (text === '' || !/^application\/([\w.+-]+\+)?json\b/i.test(type)) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new StepFailure(
      'malformed_answer',
      'the answer has a JSON content type but is not valid JSON; correct the target',
    );
  }
}

function isUrl(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > MAX_URL) return false;
  try {
    const { protocol, username, password, hostname } = new URL(value);
    return (
      (protocol === 'http:' || protocol === 'https:') && username === '' && password === '' && hostname !== ''
    );
  } catch {
    return false;
  }
}

function areHeaders(value: unknown, form: ParamsForm): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const headers = Object.entries(value);
  return (
    headers.length <= MAX_HEADERS &&
    headers.every(([name, text]) => {
      const good = HEADER_NAME.test(name) && !OWN_HEADERS.has(name.toLowerCase());
      return good && typeof text === 'string' && (hasTemplate(text, form) || HEADER_VALUE.test(text));
    })
  );
}

function areStatuses(value: unknown): boolean {
  const all = [value].flat();
  return (
    all.length > 0 &&
    all.every((one) => Number.isInteger(one) && (one as number) >= 100 && (one as number) <= 599)
  );
}
