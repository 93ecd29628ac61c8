/** The settings: read once, checked whole, every fault told by name and never by value. Nothing else reads the environment. */

/** Thrown with all faults at once; `main.ts` prints it and ends with 78 (EX_CONFIG). */
export class ConfigError extends Error {
  constructor(readonly faults: string[]) {
    super(
      `The settings have ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${faults.map((f) => `  ${f}`).join('\n')}`,
    );
    this.name = 'ConfigError';
  }
}

export interface RedisAddress {
  host: string;
  port: number;
}

export interface Config {
  port: number;
  host: string;
  dataDir: string;
  redis: RedisConfig | null;
  keyPrefix: string;
  events: boolean;
  /** Null leaves the choice to the store: a million on Redis, ten on the embedded one. */
  eventsMaxLength: number | null;
  eventsRetentionDays: number;
  streamMaxClients: number;
  streamMaxClientsPerKey: number;
  threatsRetentionDays: number;
  immuneRetentionDays: number;
  immuneMaxEvents: number;
  immuneDegradedWarnings: number;
  immuneDegradedShare: number;
  maxStaleSeconds: number;
  mask: string[];
  bootstrapKey: string | null;
  trustProxy: string[] | number | null;
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  logFormat: 'json' | 'pretty';
  logRequests: boolean;
  shutdownGraceSeconds: number;
  shutdownDelaySeconds: number;
  embeddedMaxGib: number;
}

export interface RedisConfig {
  /** A single server, or the user, password, database and TLS of Sentinel's master. */
  url: string | null;
  sentinels: RedisAddress[];
  master: string | null;
  cluster: RedisAddress[];
  /** Replicas that must have a commit before it is acknowledged. */
  wait: number;
}

interface Setting<T> {
  /** What stands in the README's table. */
  about: string;
  /** As it is documented; undefined where there is none. */
  fallback?: string;
  parse(text: string): T;
  secret?: boolean;
}

class Fault extends Error {}

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new Fault(`must be a whole number from ${least} to ${most}`);
  };
}

function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+(\.\d+)?$/.test(text) && value >= least && value <= most) return value;
    throw new Fault(`must be a number from ${least} to ${most}`);
  };
}

function oneOf<T extends string>(...values: T[]): (text: string) => T {
  return (text) => {
    const found = values.find((value) => value === text);
    if (found) return found;
    throw new Fault(`must be one of ${values.join(', ')}`);
  };
}

function onOff(text: string): boolean {
  return oneOf('on', 'off')(text) === 'on';
}

function text(pattern: RegExp, what: string): (text: string) => string {
  return (value) => {
    if (pattern.test(value)) return value;
    throw new Fault(`must be ${what}`);
  };
}

function redisUrl(value: string): string {
  const what = 'must be a URL such as redis://host:6379, or rediss://user:password@host:6379/0 for TLS';
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    throw new Fault(what);
  }
  const goodPath = url.pathname === '' || /^\/\d{0,5}$/.test(url.pathname);
  if (!['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '' || !goodPath)
    throw new Fault(what);
  return value;
}

function addresses(fallbackPort: number): (text: string) => RedisAddress[] {
  return (value) =>
    value.split(',').map((part) => {
      const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:@/]+)(?::(\d{1,5}))?$/.exec(part.trim());
      const port = Number(match?.[2] ?? fallbackPort);
      if (!match?.[1] || port < 1 || port > 65_535)
        throw new Fault('must be a list such as host1:6379,host2:6379');
      return { host: match[1].replace(/^\[|\]$/g, ''), port };
    });
}

function pointers(value: string): string[] {
  const parts = value.split(',').map((part) => part.trim());
  if (parts.every((part) => /^(\/([^~/]|~[01])+)+$/.test(part))) return parts;
  throw new Fault('must be a list of JSON pointers such as /metadata/email,/params/token');
}

function proxies(value: string): string[] | number {
  if (/^\d{1,2}$/.test(value)) return Number(value);
  const parts = value.split(',').map((part) => part.trim());
  const good = (part: string): boolean =>
    /^(loopback|linklocal|uniquelocal|[0-9a-fA-F:.]+(\/\d{1,3})?)$/.test(part);
  if (parts.every(good)) return parts;
  throw new Fault(
    'must be how many proxies stand in front (1), or a list of their addresses or networks (10.0.0.0/8)',
  );
}

/** Every setting there is. The README's table and `.env.example` are held against it by a test. */
export const SETTINGS = {
  PORT: { about: 'The port to listen on', fallback: '8080', parse: integer(0, 65_535) },
  HOST: {
    about: 'The address to listen on; the container sets 0.0.0.0',
    fallback: '127.0.0.1',
    parse: text(/^[\w.:-]+$/, 'a host name or an address'),
  },
  BRAIN_DATA_DIR: {
    about: 'The folder of the embedded store',
    fallback: './data',
    parse: text(/./, 'a folder'),
  },
  BRAIN_EMBEDDED_MAX_GIB: {
    about: 'How large the embedded store may grow, in GiB',
    fallback: '64',
    parse: number(0.01, 4096),
  },
  REDIS_URL: {
    about: 'Redis instead of the embedded store; with Sentinel it carries user, password, database and TLS',
    parse: redisUrl,
    secret: true,
  },
  BRAIN_REDIS_SENTINELS: {
    about: 'Sentinels as host:port, comma-separated; needs BRAIN_REDIS_MASTER',
    parse: addresses(26_379),
  },
  BRAIN_REDIS_MASTER: {
    about: 'The name under which the Sentinels know the master',
    parse: text(/^[\w.-]+$/, 'the name of a Sentinel master'),
  },
  BRAIN_REDIS_CLUSTER: {
    about: 'Nodes of a Redis Cluster as host:port, comma-separated',
    parse: addresses(6379),
  },
  BRAIN_REDIS_WAIT: {
    about: 'Replicas of Redis that must have a change before it is acknowledged',
    fallback: '0',
    parse: integer(0, 10),
  },
  BRAIN_KEY_PREFIX: {
    about: 'The prefix of every key in Redis',
    fallback: 'brain',
    parse: text(/^[A-Za-z0-9_.-]{1,64}$/, '1 to 64 of letters, digits, _ . -'),
  },
  BRAIN_EVENTS: { about: 'on, or off: the domains then work silently', fallback: 'on', parse: onOff },
  BRAIN_EVENTS_MAX_LENGTH: { about: 'The most events that are kept', parse: integer(1000, 1_000_000_000) },
  BRAIN_EVENTS_RETENTION_DAYS: {
    about: 'How long events are kept',
    fallback: '90',
    parse: number(0.01, 36_500),
  },
  BRAIN_STREAM_MAX_CLIENTS: {
    about: 'How many live streams of events a replica serves at one time',
    fallback: '2000',
    parse: integer(1, 100_000),
  },
  BRAIN_STREAM_MAX_CLIENTS_PER_KEY: {
    about: 'How many of them one API key may have',
    fallback: '100',
    parse: integer(1, 100_000),
  },
  BRAIN_THREATS_RETENTION_DAYS: {
    about: 'How long closed threats are kept',
    fallback: '90',
    parse: number(0.01, 36_500),
  },
  BRAIN_IMMUNE_RETENTION_DAYS: {
    about: 'How long immune events are kept',
    fallback: '90',
    parse: number(0.01, 36_500),
  },
  BRAIN_IMMUNE_MAX_EVENTS: {
    about: 'The most immune events that are kept; beyond it the oldest go first',
    fallback: '500000',
    parse: integer(1000, 1_000_000_000),
  },
  BRAIN_IMMUNE_DEGRADED_WARNINGS: {
    about: 'With more WARNING events than this in the window the fleet is degraded',
    fallback: '10',
    parse: integer(0, 1_000_000_000),
  },
  BRAIN_IMMUNE_DEGRADED_SHARE: {
    about:
      'With a larger part of WARNING events than this the fleet is degraded; 1 leaves it to their number',
    fallback: '0.5',
    parse: number(0, 1),
  },
  BRAIN_MAX_STALE_SECONDS: {
    about: 'How long keys and decisions are answered from memory while Redis is away',
    fallback: '30',
    parse: integer(0, 3600),
  },
  BRAIN_MASK: {
    about:
      'JSON pointers into the payload of events whose values are replaced before anything is written; * stands for any one segment',
    parse: pointers,
  },
  BRAIN_BOOTSTRAP_KEY: {
    about: 'A key of 32 to 256 characters that is an admin while it is set',
    parse: text(/^[\x21-\x7e]{32,256}$/, '32 to 256 printable characters without spaces'),
    secret: true,
  },
  BRAIN_TRUST_PROXY: {
    about: 'How many proxies stand in front, or their networks; then X-Forwarded-For is believed',
    parse: proxies,
  },
  BRAIN_LOG_LEVEL: {
    about: 'debug, info, warn, error or silent',
    fallback: 'info',
    parse: oneOf('debug', 'info', 'warn', 'error', 'silent'),
  },
  BRAIN_LOG_FORMAT: {
    about: 'json, or pretty; pretty where the output is a terminal',
    parse: oneOf('json', 'pretty'),
  },
  BRAIN_LOG_REQUESTS: { about: 'One line for each request: on or off', fallback: 'on', parse: onOff },
  BRAIN_SHUTDOWN_DELAY_SECONDS: {
    about: 'How long /readyz says no before the service stops to listen',
    fallback: '0',
    parse: number(0, 300),
  },
  BRAIN_SHUTDOWN_GRACE_SECONDS: {
    about: 'How long requests that run may take to finish at a shutdown',
    fallback: '25',
    parse: number(1, 600),
  },
} satisfies Record<string, Setting<unknown>>;

type Name = keyof typeof SETTINGS;
type Value<N extends Name> = ReturnType<(typeof SETTINGS)[N]['parse']>;

/** Kubernetes injects these into every pod for a service named `brain` or `brain-service`; they are not ours. */
const INJECTED = /^BRAIN_(SERVICE_|PORT($|_))/;

export function readConfig(env: Record<string, string | undefined>): Config {
  const faults: string[] = [];
  const read = <N extends Name>(name: N): Value<N> | null => {
    const setting = SETTINGS[name] as Setting<Value<N>>;
    // An empty value is what a compose file gives for a variable that is not set.
    const given = env[name] === undefined || env[name] === '' ? setting.fallback : env[name];
    if (given === undefined) return null;
    try {
      return setting.parse(given);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      faults.push(`${name} ${error.message}`);
      return null;
    }
  };
  const need = <N extends Name>(name: N): Value<N> => read(name) as Value<N>;
  const redis: RedisConfig = {
    url: read('REDIS_URL'),
    sentinels: read('BRAIN_REDIS_SENTINELS') ?? [],
    master: read('BRAIN_REDIS_MASTER'),
    cluster: read('BRAIN_REDIS_CLUSTER') ?? [],
    wait: need('BRAIN_REDIS_WAIT'),
  };
  const config: Config = {
    port: need('PORT'),
    host: need('HOST'),
    dataDir: need('BRAIN_DATA_DIR'),
    redis: redis.url !== null || redis.sentinels.length > 0 || redis.cluster.length > 0 ? redis : null,
    keyPrefix: need('BRAIN_KEY_PREFIX'),
    events: need('BRAIN_EVENTS'),
    eventsMaxLength: read('BRAIN_EVENTS_MAX_LENGTH'),
    eventsRetentionDays: need('BRAIN_EVENTS_RETENTION_DAYS'),
    streamMaxClients: need('BRAIN_STREAM_MAX_CLIENTS'),
    streamMaxClientsPerKey: need('BRAIN_STREAM_MAX_CLIENTS_PER_KEY'),
    threatsRetentionDays: need('BRAIN_THREATS_RETENTION_DAYS'),
    immuneRetentionDays: need('BRAIN_IMMUNE_RETENTION_DAYS'),
    immuneMaxEvents: need('BRAIN_IMMUNE_MAX_EVENTS'),
    immuneDegradedWarnings: need('BRAIN_IMMUNE_DEGRADED_WARNINGS'),
    immuneDegradedShare: need('BRAIN_IMMUNE_DEGRADED_SHARE'),
    maxStaleSeconds: need('BRAIN_MAX_STALE_SECONDS'),
    mask: read('BRAIN_MASK') ?? [],
    bootstrapKey: read('BRAIN_BOOTSTRAP_KEY'),
    trustProxy: read('BRAIN_TRUST_PROXY'),
    logLevel: need('BRAIN_LOG_LEVEL'),
    logFormat: read('BRAIN_LOG_FORMAT') ?? (process.stdout.isTTY ? 'pretty' : 'json'),
    logRequests: need('BRAIN_LOG_REQUESTS'),
    shutdownGraceSeconds: need('BRAIN_SHUTDOWN_GRACE_SECONDS'),
    shutdownDelaySeconds: need('BRAIN_SHUTDOWN_DELAY_SECONDS'),
    embeddedMaxGib: need('BRAIN_EMBEDDED_MAX_GIB'),
  };
  faults.push(...contradictions(redis, env), ...unknownNames(env));
  if (faults.length > 0) throw new ConfigError(faults);
  return config;
}

function contradictions(redis: RedisConfig, env: Record<string, string | undefined>): string[] {
  const faults: string[] = [];
  const given = (name: Name): boolean => (env[name] ?? '') !== '';
  if (given('BRAIN_REDIS_SENTINELS') !== given('BRAIN_REDIS_MASTER')) {
    faults.push('BRAIN_REDIS_SENTINELS and BRAIN_REDIS_MASTER must be set together');
  }
  if (given('BRAIN_REDIS_SENTINELS') && given('BRAIN_REDIS_CLUSTER')) {
    faults.push('BRAIN_REDIS_SENTINELS and BRAIN_REDIS_CLUSTER exclude each other; set one of them');
  }
  const any = given('REDIS_URL') || given('BRAIN_REDIS_SENTINELS') || given('BRAIN_REDIS_CLUSTER');
  if (redis.wait > 0 && !any) faults.push('BRAIN_REDIS_WAIT needs Redis; set REDIS_URL, or remove it');
  return faults;
}

function unknownNames(env: Record<string, string | undefined>): string[] {
  const names = Object.keys(SETTINGS);
  return Object.keys(env)
    .filter((name) => name.startsWith('BRAIN_') && !INJECTED.test(name) && !names.includes(name))
    .map((name) => {
      const [nearest] = names
        .map((known) => [distance(name, known), known] as const)
        .sort(([a], [b]) => a - b);
      return `${name} is not a setting; did you mean ${nearest?.[1]}?`;
    });
}

/** How many characters must be changed, added or removed to make one name of the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swap = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}

/** The injection token of the settings. */
export const CONFIG = Symbol('config');
