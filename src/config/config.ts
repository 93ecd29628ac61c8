/** Reads the settings once, checks them all, and reports every fault by name and never by value. Nothing else reads the environment. */

import { fileNameOf, secretNames, withSecretFiles } from './secret-files.js';
import { type RedisAddress, SettingFault } from './setting-parsers.js';
import { allSettings, SETTINGS, type Setting, type Settings } from './settings.js';

export { allow, defineSettings } from './settings.js';
export { SettingFault };

/** Thrown with all faults at once; `main.ts` prints it and ends with 78 (EX_CONFIG). */
export class ConfigError extends Error {
  constructor(readonly faults: string[]) {
    super(
      `The settings have ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n${faults.map((f) => `  ${f}`).join('\n')}`,
    );
    this.name = 'ConfigError';
  }
}

export interface Config {
  port: number;
  host: string;
  dataDir: string;
  redis: RedisConfig | null;
  keyPrefix: string;
  events: boolean;
  /** Null for the default of the store: a million on Redis, ten million on the embedded store. */
  eventsMaxLength: number | null;
  eventsEvidenceMaxLength: number;
  eventsRetentionDays: number;
  streamMaxClients: number;
  streamMaxClientsPerKey: number;
  maxStaleSeconds: number;
  /** True if a decision waits until its events are in the log. */
  durableDecisions: boolean;
  mask: string[];
  bootstrapKey: string | null;
  trustProxy: string[] | number | null;
  maxConnections: number;
  /** 0 for no limit. */
  maxEventLoopDelayMs: number;
  /** Whether the explorer and the OpenAPI document are served. */
  docs: boolean;
  publicHealth: boolean;
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  logFormat: 'json' | 'pretty';
  logRequests: boolean;
  shutdownGraceSeconds: number;
  shutdownDelaySeconds: number;
  embeddedMaxGib: number;
  /** The values of the settings that domains define, by name; `settingsIn` returns them with their types. */
  defined: ReadonlyMap<string, unknown>;
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

type Name = keyof typeof SETTINGS;
type Value<N extends Name> = ReturnType<(typeof SETTINGS)[N]['parse']>;

/** Kubernetes injects these names into every pod for a service named `brain` or `brain-service`. */
const INJECTED = /^BRAIN_(SERVICE_|PORT($|_))/;
/** Clients of the service read these names. A shell that has exported them for a client must be able to start the service. */
const OF_CLIENTS = ['BRAIN_URL', 'BRAIN_KEY'];

export function readConfig(given: Record<string, string | undefined>): Config {
  const faults: string[] = [];
  const env = withSecretFiles(given, faults);
  const read = <N extends Name>(name: N): Value<N> | null => parse(name, SETTINGS[name] as Setting<Value<N>>);
  const parse = <T>(name: string, setting: Setting<T>): T | null => {
    // A compose file gives an empty value for a variable that is not set.
    const text = env[name] === undefined || env[name] === '' ? setting.fallback : env[name];
    if (text === undefined) return null;
    try {
      return setting.parse(text);
    } catch (error) {
      if (!(error instanceof SettingFault)) throw error;
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
    eventsEvidenceMaxLength: need('BRAIN_EVENTS_EVIDENCE_MAX_LENGTH'),
    eventsRetentionDays: need('BRAIN_EVENTS_RETENTION_DAYS'),
    streamMaxClients: need('BRAIN_STREAM_MAX_CLIENTS'),
    streamMaxClientsPerKey: need('BRAIN_STREAM_MAX_CLIENTS_PER_KEY'),
    maxStaleSeconds: need('BRAIN_MAX_STALE_SECONDS'),
    durableDecisions: need('BRAIN_DECISIONS'),
    mask: read('BRAIN_MASK') ?? [],
    bootstrapKey: read('BRAIN_BOOTSTRAP_KEY'),
    trustProxy: read('BRAIN_TRUST_PROXY'),
    maxConnections: need('BRAIN_MAX_CONNECTIONS'),
    maxEventLoopDelayMs: need('BRAIN_MAX_EVENT_LOOP_DELAY_MS'),
    docs: need('BRAIN_DOCS'),
    publicHealth: need('BRAIN_PUBLIC_HEALTH'),
    logLevel: need('BRAIN_LOG_LEVEL'),
    logFormat: read('BRAIN_LOG_FORMAT') ?? (process.stdout.isTTY ? 'pretty' : 'json'),
    logRequests: need('BRAIN_LOG_REQUESTS'),
    shutdownGraceSeconds: need('BRAIN_SHUTDOWN_GRACE_SECONDS'),
    shutdownDelaySeconds: need('BRAIN_SHUTDOWN_DELAY_SECONDS'),
    embeddedMaxGib: need('BRAIN_EMBEDDED_MAX_GIB'),
    defined: new Map(
      Object.entries(allSettings())
        .filter(([name]) => !Object.hasOwn(SETTINGS, name))
        .map(([name, setting]) => [name, parse(name, setting)]),
    ),
  };
  faults.push(...contradictions(redis, env), ...unknownNames(env));
  if (faults.length > 0) throw new ConfigError(faults);
  return config;
}

/** The values of the settings that a domain defines; null for a setting without a value and a default. */
export function settingsIn<T extends Settings>(
  config: Pick<Config, 'defined'>,
  table: T,
): { [N in keyof T]: ReturnType<T[N]['parse']> | (T[N] extends { fallback: string } ? never : null) } {
  return Object.fromEntries(
    Object.keys(table).map((name) => [name, config.defined.get(name) ?? null]),
  ) as never;
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
  if (env.BRAIN_DECISIONS === 'durable' && env.BRAIN_EVENTS === 'off')
    faults.push(
      'BRAIN_DECISIONS=durable needs BRAIN_EVENTS=on: without a log, a decision cannot wait for it',
    );
  return faults;
}

function unknownNames(env: Record<string, string | undefined>): string[] {
  const names = [...Object.keys(allSettings()), ...secretNames().map(fileNameOf)];
  const isKnown = (name: string): boolean =>
    names.includes(name) || OF_CLIENTS.includes(name) || INJECTED.test(name);
  return Object.keys(env)
    .filter((name) => name.startsWith('BRAIN_') && !isKnown(name))
    .map((name) => {
      const [nearest] = names
        .map((known) => [distance(name, known), known] as const)
        .sort(([a], [b]) => a - b);
      return `${name} is not a setting; did you mean ${nearest?.[1]}?`;
    });
}

/** How many characters must be changed, added or removed to turn one name into the other. */
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
