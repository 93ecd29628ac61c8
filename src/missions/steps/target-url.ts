/**
 * The URLs of `http` steps in one form. A URL has many spellings, and a policy must see the one that the request uses: so this form
 * is stored, shown, judged by the policies, and requested. Pure.
 */

export const MAX_URL = 2048;

/** The parts of a URL that a policy can name. */
export interface UrlParts {
  /** `http` or `https`. */
  scheme: string;
  host: string;
  port: number;
  path: string;
}

/** Undefined unless the text is an http or https URL without user and password. */
export function targetUrl(text: unknown): URL | undefined {
  if (typeof text !== 'string' || text.length > MAX_URL || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isWeb = url.protocol === 'http:' || url.protocol === 'https:';
  if (!isWeb || url.username !== '' || url.password !== '') return undefined;
  // A name with a dot at its end has the same addresses as the name without it.
  url.hostname = url.hostname.replace(/\.$/, '');
  if (url.hostname === '' || url.hostname.endsWith('.')) return undefined;
  url.pathname = withPlainLetters(url.pathname);
  // It is not sent. A policy that reads the end of the URL must not read it either.
  url.hash = '';
  return url.href.length > MAX_URL ? undefined : url;
}

/** A target decodes `%61` to `a`, so both are the same path. A percent sign that encodes nothing is encoded itself. */
function withPlainLetters(path: string): string {
  return path.replaceAll(/%([0-9a-f]{2})?/gi, (encoded, digits: string | undefined) => {
    if (digits === undefined) return '%25';
    const character = String.fromCharCode(Number.parseInt(digits, 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : encoded.toUpperCase();
  });
}

export function partsOf({ protocol, hostname, port, pathname }: URL): UrlParts {
  const scheme = protocol.slice(0, -1);
  return { scheme, host: hostname, port: Number(port || (scheme === 'https' ? 443 : 80)), path: pathname };
}
