/** Reads the texts of settings. Each parser says what is allowed if a text is not. */

export interface RedisAddress {
  host: string;
  port: number;
}

/** Says what is wrong with a value. It never contains the value: it may be a secret. */
export class SettingFault extends Error {}

export function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new SettingFault(`must be a whole number from ${least} to ${most}`);
  };
}

export function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+(\.\d+)?$/.test(text) && value >= least && value <= most) return value;
    throw new SettingFault(`must be a number from ${least} to ${most}`);
  };
}

/** How long something is kept. */
export function days(text: string): number {
  return number(0.01, 36_500)(text);
}

export function oneOf<T extends string>(...values: T[]): (text: string) => T {
  return (text) => {
    const found = values.find((value) => value === text);
    if (found) return found;
    throw new SettingFault(`must be one of ${values.join(', ')}`);
  };
}

export function onOff(text: string): boolean {
  return oneOf('on', 'off')(text) === 'on';
}

export function text(pattern: RegExp, what: string): (text: string) => string {
  return (value) => {
    if (pattern.test(value)) return value;
    throw new SettingFault(`must be ${what}`);
  };
}

export function redisUrl(value: string): string {
  const what = 'must be a URL such as redis://host:6379, or rediss://user:password@host:6379/0 for TLS';
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    throw new SettingFault(what);
  }
  const goodPath = url.pathname === '' || /^\/\d{0,5}$/.test(url.pathname);
  if (!['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '' || !goodPath)
    throw new SettingFault(what);
  return value;
}

export function addresses(fallbackPort: number): (text: string) => RedisAddress[] {
  return (value) =>
    value.split(',').map((part) => {
      const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:@/]+)(?::(\d{1,5}))?$/.exec(part.trim());
      const port = Number(match?.[2] ?? fallbackPort);
      if (!match?.[1] || port < 1 || port > 65_535)
        throw new SettingFault('must be a list such as host1:6379,host2:6379');
      return { host: match[1].replace(/^\[|\]$/g, ''), port };
    });
}

export function pointers(value: string): string[] {
  const parts = value.split(',').map((part) => part.trim());
  if (parts.every((part) => /^(\/([^~/]|~[01])+)+$/.test(part))) return parts;
  throw new SettingFault('must be a list of JSON pointers such as /metadata/email,/params/token');
}

export function proxies(value: string): string[] | number {
  if (/^\d{1,2}$/.test(value)) return Number(value);
  const parts = value.split(',').map((part) => part.trim());
  const good = (part: string): boolean =>
    /^(loopback|linklocal|uniquelocal|[0-9a-fA-F:.]+(\/\d{1,3})?)$/.test(part);
  if (parts.every(good)) return parts;
  throw new SettingFault(
    'must be the number of proxies in front of the service (1), or a list of their addresses or networks (10.0.0.0/8)',
  );
}
