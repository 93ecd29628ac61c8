/** User, password, database and TLS from REDIS_URL. */
import type { ConnectionOptions } from 'node:tls';

export interface Login {
  username?: string;
  password?: string;
  db: number;
  tls?: ConnectionOptions;
}

export function loginOf(url: URL | null): Login {
  return {
    username: url?.username ? decodeURIComponent(url.username) : undefined,
    password: url?.password ? decodeURIComponent(url.password) : undefined,
    db: Number(url?.pathname.slice(1) || 0),
    tls: url?.protocol === 'rediss:' ? serverName(hostOf(url)) : undefined,
  };
}

export function hostOf(url: URL | null): string {
  return url?.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
}

/** TLS asks for the certificate of the host name. An address has none. */
export function serverName(host: string): ConnectionOptions {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}
