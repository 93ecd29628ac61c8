/**
 * Sends an HTTP request. A mission must not reach services that only this machine or its network can see, so every private address is
 * refused. The check comes after name resolution, the connection uses the checked address, and redirects are checked again. The
 * policies are asked about each redirect, too.
 */
import { lookup as resolve } from 'node:dns';
import { type IncomingMessage, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { type Fault, messageOf } from '../../shared/errors.js';
import { AllowedHosts } from './allowed-hosts.js';
import {
  type Headers,
  type HttpParams,
  inLowerCase,
  methodFor,
  normalized,
  requestFaults,
} from './http-params.js';
import { isPrivate } from './private-address.js';
import { isRedirect, type Outgoing, redirected } from './redirect.js';
import { type ParamsForm, type StepContext, StepFailure, type StepKind } from './step.js';
import { partsOf, targetUrl } from './target-url.js';
import { withWords } from './templates.js';

const MAX_ANSWER_BYTES = 1024 * 1024;
const MAX_REDIRECTS = 5;
/** Stands for a template in the check of a written URL. No host that people use contains it. */
const UNKNOWN = 'brain-template-value';

/** Says whether no request may go to an address. */
type Refusal = (address: string) => boolean;

interface HttpOptions {
  refuses?: Refusal;
  hosts?: AllowedHosts;
}

export function httpStep({ refuses = isPrivate, hosts = AllowedHosts.all }: HttpOptions = {}): StepKind {
  return {
    urls: ['url'],
    faults: (params, form) => [...requestFaults(params, form), ...hostFaults(params.url, form, hosts)],
    normalized,
    environment: ({ url }) => {
      const target = targetUrl(url);
      return target ? { url: partsOf(target) } : {};
    },
    run: (params, context) => send(params as unknown as HttpParams, context, { refuses, hosts }),
  };
}

/** Only for a written URL: the host of a filled one is checked when the request is sent, and the error then names the setting. */
function hostFaults(url: unknown, form: ParamsForm, hosts: AllowedHosts): Fault[] {
  if (form === 'filled' || typeof url !== 'string') return [];
  // What a template inserts is encoded, so a template behind the host cannot change it.
  const target = targetUrl(withWords(url, UNKNOWN));
  if (!target || target.hostname.includes(UNKNOWN) || hosts.has(target)) return [];
  return [{ pointer: '/url', detail: notAllowed(target), code: 'host_not_allowed' }];
}

/** Sends the request, and follows redirects: each goes only where the settings and the policies allow it. */
async function send(
  params: HttpParams,
  context: StepContext,
  { refuses, hosts }: Required<HttpOptions>,
): Promise<unknown> {
  let request = requestOf(params, context);
  expectAllowedHost(request.url, hosts);
  for (let redirects = 0; ; redirects += 1) {
    const answer = await exchange(request, context.signal, refuses);
    const { status, headers } = answer;
    if (!isRedirect(status, headers.location) || expected(params).includes(status))
      return resultOf(params, answer);
    if (redirects === MAX_REDIRECTS)
      throw new StepFailure(
        'too_many_redirects',
        `the target redirects more than ${MAX_REDIRECTS} times; use the last URL`,
        true,
      );
    request = redirected(request, status, headers.location as string);
    expectAllowedHost(request.url, hosts);
    await context.expectAllowed(paramsNow(params, request));
  }
}

function requestOf(params: HttpParams, { idempotencyKey }: StepContext): Outgoing {
  const { body } = params;
  const headers: Headers = {
    'user-agent': 'brain-control-plane',
    'idempotency-key': idempotencyKey,
  };
  if (body !== undefined)
    headers['content-type'] = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  Object.assign(headers, inLowerCase(params.headers ?? {}));
  const bytes =
    body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const method = params.method ?? methodFor(body);
  return { url: new URL(params.url), method, headers, body: bytes };
}

/** The parameters of the step as far as a redirected request still has them. */
function paramsNow(params: HttpParams, { url, method, headers, body }: Outgoing): Record<string, unknown> {
  const now: Record<string, unknown> = { ...params, url: url.href, method };
  if (body === undefined) delete now.body;
  if (params.headers) {
    const kept = Object.entries(params.headers).filter(([name]) =>
      Object.hasOwn(headers, name.toLowerCase()),
    );
    now.headers = Object.fromEntries(kept);
  }
  return now;
}

function expectAllowedHost(url: URL, hosts: AllowedHosts): void {
  if (!hosts.has(url)) throw new StepFailure('host_not_allowed', `the request ${notAllowed(url)}`, true);
}

function notAllowed({ host }: URL): string {
  return `goes to ${host}, which BRAIN_HTTP_ALLOW_HOSTS does not list; use a listed host, or ask an admin to add this one`;
}

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

function exchange(
  { url, method, headers, body }: Outgoing,
  signal: AbortSignal,
  refuses: Refusal,
): Promise<Answer> {
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
