/** The hosts to which `http` steps may send requests: `BRAIN_HTTP_ALLOW_HOSTS`. Pure. */
import { SettingFault } from '../../config/config.js';
import { partsOf, targetUrl } from './target-url.js';

interface AllowedHost {
  name: string;
  /** The host names below `name` are allowed, and not the name itself. */
  subdomains: boolean;
  /** Without a port, every port is allowed. */
  port?: number;
}

/** Without entries every host is allowed. */
export class AllowedHosts {
  private constructor(private readonly hosts: readonly AllowedHost[]) {}

  static readonly all = new AllowedHosts([]);

  /** Reads a setting such as `api.example.com,*.example.org:8443`. */
  static parse(this: void, text: string): AllowedHosts {
    return new AllowedHosts(text.split(',').map((part) => hostIn(part.trim())));
  }

  has(url: URL): boolean {
    const { host, port } = partsOf(url);
    const fits = (allowed: AllowedHost): boolean =>
      (allowed.port === undefined || allowed.port === port) &&
      (allowed.subdomains ? host.endsWith(`.${allowed.name}`) : host === allowed.name);
    return this.hosts.length === 0 || this.hosts.some(fits);
  }
}

function hostIn(text: string): AllowedHost {
  const [, wildcard, host = '', port] =
    /^(\*\.)?(\[[0-9a-f:.]+\]|[^\s:/?#@*[\]\\%]+)(?::(\d{1,5}))?$/i.exec(text) ?? [];
  // The same parser as for the URLs of steps, so that a name is in the same form.
  const url = targetUrl(`http://${host}/`);
  const number = port === undefined ? undefined : Number(port);
  const isPort = number === undefined || (number >= 1 && number <= 65_535);
  if (url && isPort) return { name: url.hostname, subdomains: wildcard !== undefined, port: number };
  throw new SettingFault(
    'must be a list of host names such as api.example.com,*.example.org:8443: `*.` stands for all names below a name, and a port is optional',
  );
}
