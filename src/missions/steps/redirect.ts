/** What a redirect makes of a request. Pure. */
import { StepFailure } from './step.js';
import { MAX_URL, targetUrl } from './target-url.js';

/** A request to send. The names of its headers are in lower case. */
export interface Outgoing {
  url: URL;
  method: string;
  headers: Record<string, string>;
  body: Buffer | undefined;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Headers that a redirect may carry to another origin. Any other header may be a credential for the first target. */
const CARRIED = new Set(['accept', 'accept-language', 'content-type', 'idempotency-key', 'user-agent']);

export function isRedirect(status: number, location: string | undefined): boolean {
  return REDIRECTS.has(status) && location !== undefined;
}

/** The request that the redirect demands. Throws if it may not be sent. */
export function redirected(request: Outgoing, status: number, location: string): Outgoing {
  const url = urlAfter(request.url, location);
  let { method, body } = request;
  const headers = { ...request.headers };
  if (status === 303 || (method === 'POST' && status < 303)) {
    method = 'GET';
    body = undefined;
    delete headers['content-type'];
  }
  if (url.origin === request.url.origin) return { url, method, headers, body };
  if (body !== undefined) throw bodyRedirected(url);
  for (const name of Object.keys(headers)) if (!CARRIED.has(name)) delete headers[name];
  return { url, method, headers, body };
}

function urlAfter(from: URL, location: string): URL {
  const target = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (!target)
    throw new StepFailure('bad_redirect', 'the target redirects to an invalid URL; use the final URL', true);
  const url = targetUrl(target.href);
  if (url && !(from.protocol === 'https:' && url.protocol === 'http:')) return url;
  throw new StepFailure(
    'bad_redirect',
    `the target redirects to ${target.protocol}//${target.host}; only http and https URLs of up to ${MAX_URL} characters without a password are followed, and none from https to http; use the final URL`,
    true,
  );
}

/** Another origin may be somebody else, for whom the body was not meant. */
function bodyRedirected({ origin }: URL): StepFailure {
  const detail = `the target redirects the request to ${origin}, and a body is not sent to another origin; use the final URL`;
  return new StepFailure('body_redirected', detail, true);
}
