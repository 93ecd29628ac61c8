/**
 * The settings of the service itself, and how a domain defines its own: name, default, meaning, and what is allowed.
 * `config.ts` reads them. docs/settings.md and .env.example are made from them.
 */

import {
  addresses,
  days,
  integer,
  number,
  oneOf,
  onOff,
  pointers,
  proxies,
  redisUrl,
  text,
} from './setting-parsers.js';

export interface Setting<T> {
  /** Its meaning, for the documents. */
  about: string;
  /** The default, as text; absent if there is none. */
  fallback?: string;
  parse(text: string): T;
  /** It may also come from a file: `<NAME>_FILE`. */
  secret?: boolean;
}

export type Settings = Record<string, Setting<unknown>>;

const SERVER = {
  PORT: { about: 'The port to listen on', fallback: '8080', parse: integer(0, 65_535) },
  HOST: {
    about: 'The address to listen on; the image sets `0.0.0.0`',
    fallback: '127.0.0.1',
    parse: text(/^[\w.:-]+$/, 'a host name or an address'),
  },
  BRAIN_TRUST_PROXY: {
    about:
      'The number of proxies in front of the service, or their networks; only with it `X-Forwarded-For`, `-Proto` and `-Host` are used',
    parse: proxies,
  },
  BRAIN_MAX_CONNECTIONS: {
    about: 'How many connections a replica has at one time, live streams included; further ones are closed',
    fallback: '10000',
    parse: integer(1, 1_000_000),
  },
  BRAIN_MAX_EVENT_LOOP_DELAY_MS: {
    about:
      'A replica whose event loop is late by more than this for five seconds refuses heavy requests until it has recovered; 0 is no limit',
    fallback: '250',
    parse: integer(0, 60_000),
  },
  BRAIN_DOCS: {
    about: '`on`, or `off`: `/docs` and `/openapi.json` are not served',
    fallback: 'on',
    parse: onOff,
  },
  BRAIN_PUBLIC_HEALTH: {
    about:
      '`on`, or `off`: `/api/<domain>/health` needs a valid key of any role; `/livez` and `/readyz` stay open, for probes',
    fallback: 'on',
    parse: onOff,
  },
} satisfies Settings;

const KEYS = {
  BRAIN_BOOTSTRAP_KEY: {
    about:
      'A key of 32 to 256 characters that is an admin while it is set; on Redis it is required until there is another admin',
    parse: text(/^[\x21-\x7e]{32,256}$/, '32 to 256 printable characters without spaces'),
    secret: true,
  },
} satisfies Settings;

const EMBEDDED = {
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
} satisfies Settings;

const REDIS = {
  REDIS_URL: {
    about:
      'The URL of Redis (`redis://`, or `rediss://` for TLS); with Sentinel only its user, password, database and TLS count',
    parse: redisUrl,
    secret: true,
  },
  BRAIN_REDIS_SENTINELS: {
    about: 'Sentinels as host:port, comma-separated; needs `BRAIN_REDIS_MASTER`',
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
    about:
      'Redis replicas that must confirm a change before the answer, and before every answer that follows from the change',
    fallback: '0',
    parse: integer(0, 10),
  },
  BRAIN_KEY_PREFIX: {
    about: 'The prefix of every key in Redis',
    fallback: 'brain',
    parse: text(/^[A-Za-z0-9_.-]{1,64}$/, '1 to 64 of letters, digits, _ . -'),
  },
  BRAIN_MAX_STALE_SECONDS: {
    about:
      'The grace time: how long keys are checked and decisions made from memory while Redis cannot be reached',
    fallback: '30',
    parse: integer(0, 3600),
  },
} satisfies Settings;

const EVENTS = {
  BRAIN_EVENTS: {
    about: '`on`, or `off`: no events are written, and the domains work the same',
    fallback: 'on',
    parse: onOff,
  },
  BRAIN_EVENTS_MAX_LENGTH: {
    about:
      'The most events in the recent tier of the log; without it 1,000,000 on Redis and 10,000,000 on the embedded store. Above it the oldest decisions are removed, and the oldest other events move into the evidence tier',
    parse: integer(1000, 1_000_000_000),
  },
  BRAIN_EVENTS_EVIDENCE_MAX_LENGTH: {
    about:
      'The most events in the evidence tier of the log: older events that are not about a decision. Above it the oldest are removed',
    fallback: '1000000',
    parse: integer(1000, 1_000_000_000),
  },
  BRAIN_EVENTS_RETENTION_DAYS: {
    about: 'How long events are kept',
    fallback: '90',
    parse: days,
  },
  BRAIN_DECISIONS: {
    about:
      '`buffered`: the events of a decision are written within milliseconds after its answer. `durable`: they are in the log before it, or the answer is 503 `decision_not_recorded`',
    fallback: 'buffered',
    parse: (text) => oneOf('buffered', 'durable')(text) === 'durable',
  },
  BRAIN_STREAM_MAX_CLIENTS: {
    about: 'How many live streams of events a replica serves at one time',
    fallback: '2000',
    parse: integer(1, 100_000),
  },
  BRAIN_STREAM_MAX_CLIENTS_PER_KEY: {
    about: 'How many live streams one API key may have at one time',
    fallback: '100',
    parse: integer(1, 100_000),
  },
  BRAIN_MASK: {
    about:
      'JSON pointers into the payload of events, and into the request of a decision, whose values are replaced before anything is written or explained, such as `/metadata/email,/params/*/token`; `*` is any one segment',
    parse: pointers,
  },
} satisfies Settings;

const LOG = {
  BRAIN_LOG_LEVEL: {
    about: '`debug`, `info`, `warn`, `error` or `silent`',
    fallback: 'info',
    parse: oneOf('debug', 'info', 'warn', 'error', 'silent'),
  },
  BRAIN_LOG_FORMAT: {
    about: '`json` or `pretty`; without it `pretty` on a terminal and `json` elsewhere',
    parse: oneOf('json', 'pretty'),
  },
  BRAIN_LOG_REQUESTS: { about: 'One line for each request: `on` or `off`', fallback: 'on', parse: onOff },
} satisfies Settings;

const SHUTDOWN = {
  BRAIN_SHUTDOWN_DELAY_SECONDS: {
    about: 'How long `/readyz` says no before the service stops listening',
    fallback: '0',
    parse: number(0, 300),
  },
  BRAIN_SHUTDOWN_GRACE_SECONDS: {
    about: 'How long running requests and steps may take to finish at a shutdown, and events to be written',
    fallback: '25',
    parse: number(1, 600),
  },
} satisfies Settings;

/** The settings of the service itself. */
export const SETTINGS = {
  ...SERVER,
  ...KEYS,
  ...EMBEDDED,
  ...REDIS,
  ...EVENTS,
  ...LOG,
  ...SHUTDOWN,
};

interface Group {
  title: string;
  settings: Settings;
}

const OWN: Group[] = [
  { title: 'Server', settings: SERVER },
  { title: 'Keys', settings: KEYS },
  { title: 'Embedded store', settings: EMBEDDED },
  { title: 'Redis instead of the embedded store', settings: REDIS },
  { title: 'Events', settings: EVENTS },
  { title: 'Log', settings: LOG },
  { title: 'Shutdown', settings: SHUTDOWN },
];
const DEFINED: Group[] = [];

/** All settings in their groups: first those of the service, then those of the domains, sorted by title. */
export function settingGroups(): Group[] {
  return [...OWN, ...DEFINED.toSorted((a, b) => (a.title < b.title ? -1 : 1))];
}

/**
 * Defines the settings of a domain, in a file of the domain. When that file is loaded, they are checked and documented like
 * all other settings. `settingsIn` returns their values.
 */
export function defineSettings<T extends Settings>(title: string, settings: T): T {
  const known = allSettings();
  for (const name of Object.keys(settings)) {
    if (known[name]) throw new Error(`${name} is defined twice; remove one of the definitions.`);
    if (!name.startsWith('BRAIN_'))
      throw new Error(`The name of the setting ${name} must begin with BRAIN_.`);
  }
  DEFINED.push({ title, settings });
  return settings;
}

export function allSettings(): Settings {
  return Object.assign({}, ...settingGroups().map(({ settings }) => settings)) as Settings;
}

/** What the value of a setting may be. */
export const allow = { integer, number, oneOf, onOff, days };
