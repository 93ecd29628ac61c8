/** Creates the application and shuts it down, for `main.ts` and for the tests. */
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import type { Config } from './config/config.js';
import { ApiDocument } from './http/docs.controller.js';
import { FastExpressAdapter } from './http/express.adapter.js';
import { InputGuard } from './http/input.guard.js';
import { openApiDocument } from './http/openapi.js';
import { ProblemFilter } from './http/problem.filter.js';
import { requestContext } from './http/request-context.js';
import { handlersOf } from './http/routes.js';
import { AccessGuard } from './security/access.guard.js';
import { Denials } from './security/denials.js';
import { atMost, sleep } from './shared/clock.js';
import { LogOnce } from './shared/log-once.js';
import type { Logger } from './shared/logger.js';
import { ShutdownState } from './shared/shutdown-state.js';

/** How often the log says that connections are refused. */
const REFUSALS_EVERY_MS = 10_000;

export async function createApp(config: Config, logger: Logger): Promise<NestExpressApplication> {
  const problems = new ProblemFilter(logger);
  const refusals = new LogOnce(REFUSALS_EVERY_MS);
  const adapter = new FastExpressAdapter({
    maxConnections: config.maxConnections,
    connectionRefused: () => {
      if (refusals.isDue())
        logger.warn('connections are refused: there are as many as BRAIN_MAX_CONNECTIONS allows');
    },
    inContext: requestContext(logger, config.logRequests),
    refuse: (error, request, response) => problems.answer(error, request, response),
  });
  const app = await NestFactory.create<NestExpressApplication>(AppModule.for(config, logger), adapter, {
    logger,
    bodyParser: false,
    abortOnError: false,
  });
  if (config.trustProxy !== null) app.set('trust proxy', config.trustProxy);
  problems.denials = app.get(Denials);
  app.useGlobalFilters(problems);
  const access = app.get(AccessGuard);
  const input = new InputGuard((context) => access.check(context));
  // The order matters: no body is read for a caller without a key.
  app.useGlobalGuards(access, input);
  const unchecked = handlersOf(app).flatMap(({ controller, handler }) => [
    ...access.prepare(controller, handler),
    ...input.prepare(controller, handler),
  ]);
  await refuseToStart(app, unchecked);
  await app.init();
  await refuseToStart(app, adapter.routeFaults());
  app.get(ApiDocument).json = JSON.stringify(openApiDocument(app));
  return app;
}

/** A service must not start if some of its checks would not run. */
async function refuseToStart(app: NestExpressApplication, faults: string[]): Promise<void> {
  if (faults.length === 0) return;
  await app.close();
  throw new Error(faults.join(' '));
}

/** How often idle connections are closed while requests finish. */
const LOOK_EVERY_MS = 50;

/**
 * First `/readyz` answers 503, until load balancers have noticed. Then running requests finish within the grace time, the
 * events are flushed, and the store is closed. In this order nothing that was answered is lost.
 */
export async function shutDown(app: NestExpressApplication, config: Config): Promise<void> {
  const draining = app.get(ShutdownState);
  draining.active = true;
  await sleep(config.shutdownDelaySeconds * 1000);
  const server = app.getHttpServer();
  const adapter = app.getHttpAdapter() as unknown as FastExpressAdapter;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  draining.leave(config.shutdownGraceSeconds * 1000);
  const closeUnused = setInterval(() => {
    server.closeIdleConnections();
    adapter.closeUnusedConnections();
  }, LOOK_EVERY_MS);
  await atMost(config.shutdownGraceSeconds * 1000, closed);
  clearInterval(closeUnused);
  server.closeAllConnections();
  await app.close();
}
