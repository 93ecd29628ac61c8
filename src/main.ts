import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApp, shutDown } from './app.setup.js';
import { type Config, ConfigError, readConfig } from './config/config.js';
import { type AdminAccess, AdminKey } from './security/admin-key.js';
import { isBrainError, messageOf } from './shared/errors.js';
import { Logger } from './shared/logger.js';

/** Exit codes from sysexits.h: for a fault in the settings, and for a service that cannot start. */
const EX_CONFIG = 78;
const EX_UNAVAILABLE = 69;

/** At Ctrl+C a terminal sends SIGINT to all processes, and npm passes its own on. So the service gets two. */
const SAME_CTRL_C_MS = 250;

function settings(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\ndocs/settings.md lists every setting.\n`);
    process.exit(EX_CONFIG);
  }
}

async function start(): Promise<void> {
  const config = settings();
  const logger = new Logger({ level: config.logLevel, format: config.logFormat });
  const app = await createApp(config, logger);
  onSignals(app, config, logger);
  const access = await adminAccess(app, config);
  await app.listen(config.port, config.host);
  const facts = await factsOf(app, config, access);
  // A collector of JSON lines could not read the block.
  if (config.logFormat === 'json') logger.info('listening', facts);
  else
    process.stdout.write(welcome(facts), () => {
      if (access?.kind === 'made') access.printed();
    });
}

type Facts = Record<'api' | 'explorer' | 'health' | 'store' | 'events' | 'admin_key', string>;

async function factsOf(app: NestExpressApplication, config: Config, access?: AdminAccess): Promise<Facts> {
  const url = (await app.getUrl()).replace('[::1]', 'localhost');
  return {
    api: `${url}/api`,
    explorer: config.docs ? `${url}/docs` : 'off',
    health: `${url}/livez  ${url}/readyz`,
    store: config.redis ? 'Redis' : `embedded, in ${config.dataDir}`,
    events: config.events ? 'on' : 'off',
    admin_key: access ? describe(access) : 'unknown while the store cannot be reached',
  };
}

/** The start-up block: the addresses, the store and the admin key. */
function welcome({ api, explorer, health, store, events, admin_key }: Facts): string {
  return `
BRAiN Control Plane
  API        ${api}
  Explorer   ${explorer}
  Health     ${health}
  Store      ${store}
  Events     ${events}
  Admin key  ${admin_key}

`;
}

/** Undefined if the store cannot be reached. The service still starts, and waits for the store. */
async function adminAccess(app: NestExpressApplication, config: Config): Promise<AdminAccess | undefined> {
  try {
    // A key is printed for a person, and never into a log.
    return await app.get(AdminKey).bootstrap(process.stdout.isTTY && config.logFormat === 'pretty');
  } catch (error) {
    if (isBrainError(error) && error.kind === 'unavailable') return undefined;
    throw error;
  }
}

function describe(access: AdminAccess): string {
  switch (access.kind) {
    case 'env':
      return 'the one in BRAIN_BOOTSTRAP_KEY';
    case 'made':
      return `${access.key}\n             (made now and shown this once: keep it)`;
    case 'file':
      return `in ${access.path}`;
    case 'exists':
      return 'made earlier, and shown then';
    case 'missing':
      return 'none yet: set BRAIN_BOOTSTRAP_KEY to 32 or more random characters, and start again';
  }
}

/** The first signal starts an orderly shutdown. A second one ends the process at once. */
function onSignals(app: NestExpressApplication, config: Config, logger: Logger): void {
  let firstMs: number | undefined;
  const end = (signal: string): void => {
    if (firstMs !== undefined) {
      if (signal === 'SIGINT' && performance.now() - firstMs < SAME_CTRL_C_MS) return;
      process.exit(1);
    }
    firstMs = performance.now();
    logger.info('shutting down', { signal });
    shutDown(app, config).then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error('the shutdown failed', { reason: messageOf(error) });
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => end('SIGTERM'));
  process.on('SIGINT', () => end('SIGINT'));
}

function startFault(error: unknown): string {
  const { code, address, port } = error as { code?: string; address?: string; port?: number };
  if (code !== 'EADDRINUSE') return messageOf(error);
  return `Port ${port} of ${address} is in use. End the program that uses it, or set PORT to another port.`;
}

start().catch((error: unknown) => {
  process.stderr.write(`The service could not start. ${startFault(error)}\n`);
  process.exit(EX_UNAVAILABLE);
});
