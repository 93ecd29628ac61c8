/** The parameters of `http` steps: which are allowed, and the form in which policies judge them. Pure. */
import type { Fault } from '../../shared/errors.js';
import { isJson } from '../../shared/json.js';
import { hasTemplate, type ParamsForm, paramFaults } from './step.js';
import { MAX_URL, targetUrl } from './target-url.js';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const MAX_HEADERS = 50;
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
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]{0,4096}$/;
export type Headers = Record<string, string>;

export interface HttpParams {
  method?: string;
  url: string;
  headers?: Headers;
  body?: unknown;
  expected_status?: number | number[];
}

export function requestFaults(params: Record<string, unknown>, form: ParamsForm): Fault[] {
  return paramFaults(params, form, {
    method: {
      what: `one of ${METHODS.join(', ')}`,
      allows: (value) => METHODS.includes(value as string),
    },
    url: {
      required: true,
      what: `an http or https URL of up to ${MAX_URL} characters, without user and password`,
      allows: (value) => targetUrl(value) !== undefined,
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
  });
}

/**
 * The URL in its one form. Filled parameters, which the policies judge, also have the method, and names of headers in lower case: a
 * rule must not miss a method that is left out, or a header that is spelled in another way.
 */
export function normalized(params: Record<string, unknown>, form: ParamsForm): Record<string, unknown> {
  const url = hasTemplate(params.url, form) ? undefined : targetUrl(params.url);
  const usual = url ? { ...params, url: url.href } : params;
  if (form === 'written') return usual;
  const { method = methodFor(params.body), headers } = params;
  return { ...usual, method, ...(headers !== undefined && { headers: inLowerCase(headers as Headers) }) };
}

export function methodFor(body: unknown): string {
  return body === undefined ? 'GET' : 'POST';
}

export function inLowerCase(headers: Headers): Headers {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
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
