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
  const access = await adminAccess(app);
  await app.listen(config.port, config.host);
  process.stdout.write(await welcome(app, config, access), () => {
    if (access?.kind === 'made') access.printed();
  });
}

/** The start-up block: the addresses, the store and the admin key. */
async function welcome(app: NestExpressApplication, config: Config, access?: AdminAccess): Promise<string> {
  const url = (await app.getUrl()).replace('[::1]', 'localhost');
  const store = config.redis ? 'Redis' : `embedded, in ${config.dataDir}`;
  return `
BRAiN Control Plane
  API        ${url}/api
  Explorer   ${config.docs ? `${url}/docs` : 'off'}
  Health     ${url}/livez  ${url}/readyz
  Store      ${store}
  Events     ${config.events ? 'on' : 'off'}
  Admin key  ${access ? describe(access) : 'unknown while the store cannot be reached'}

`;
}

/** Undefined if the store cannot be reached. The service still starts, and waits for the store. */
async function adminAccess(app: NestExpressApplication): Promise<AdminAccess | undefined> {
  try {
    return await app.get(AdminKey).bootstrap(process.stdout.isTTY);
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
