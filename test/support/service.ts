/** The whole service in this process, on either store, as `main.ts` puts it together. */
import type { Server } from 'node:http';
import type { NestExpressApplication } from '@nestjs/platform-express';
import request from 'supertest';
import { createApp, shutDown } from '../../src/app.setup.js';
import { readConfig } from '../../src/config/config.js';
import type { Envelope } from '../../src/events/event.js';
import { EventStream } from '../../src/events/event-stream.js';
import { Logger } from '../../src/shared/logger.js';
import { temporaryFolder } from './folder.js';

export const ADMIN = 'an-admin-key-for-the-tests-0123456789';

/** The tests send as many requests as they can, on a machine that may be busy. Tests of the limits set their own. */
export const NO_LIMITS = {
  BRAIN_RATE_WRITES: '0',
  BRAIN_RATE_WRITES_AGENT: '0',
  BRAIN_RATE_HEAVY: '0',
  BRAIN_RATE_HEAVY_AT_ONCE: '0',
  BRAIN_MAX_EVENT_LOOP_DELAY_MS: '0',
};

export interface Service {
  app: NestExpressApplication;
  server: Server;
  /** What the service logged, one object per line. */
  logs: Record<string, unknown>[];
  get(path: string, key?: string): request.Test;
  post(path: string, body?: object, key?: string): request.Test;
  put(path: string, body?: object, key?: string): request.Test;
  delete(path: string, key?: string): request.Test;
  /** Every event of the log that these filters select, oldest first, read over HTTP. */
  events(filter?: Record<string, string>): Promise<(Envelope & { position: string })[]>;
  stop(): Promise<void>;
}

export async function startService(env: Record<string, string> = {}): Promise<Service> {
  const folder = temporaryFolder();
  const config = readConfig({
    PORT: '0',
    BRAIN_DATA_DIR: folder.path,
    BRAIN_BOOTSTRAP_KEY: ADMIN,
    BRAIN_LOG_FORMAT: 'json',
    ...NO_LIMITS,
    ...env,
  });
  const logs: Record<string, unknown>[] = [];
  const sink = { write: (line: string) => logs.push(JSON.parse(line) as Record<string, unknown>) };
  const app = await createApp(config, new Logger({ level: config.logLevel, format: 'json' }, sink));
  await app.listen(0, '127.0.0.1');
  const server = app.getHttpServer();
  const as = (test: request.Test, key: string): request.Test =>
    key === '' ? test : test.set('Authorization', `Bearer ${key}`);
  const service: Service = {
    app,
    server,
    logs,
    get: (path, key = ADMIN) => as(request(server).get(path), key),
    post: (path, body, key = ADMIN) => as(request(server).post(path).send(body), key),
    put: (path, body, key = ADMIN) => as(request(server).put(path).send(body), key),
    delete: (path, key = ADMIN) => as(request(server).delete(path), key),
    events: async (filter = {}) => {
      if (config.events) await app.get(EventStream).flush();
      const found: (Envelope & { position: string })[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const query = new URLSearchParams({
          order: 'asc',
          limit: '500',
          ...filter,
          ...(cursor && { cursor }),
        });
        const answer: request.Response = await service.get(`/api/events?${query.toString()}`).expect(200);
        found.push(...(answer.body as { events: (Envelope & { position: string })[] }).events);
        cursor = (answer.body as { next_cursor: string | null }).next_cursor;
      }
      return found;
    },
    stop: async () => {
      await shutDown(app, config);
      folder.remove();
    },
  };
  return service;
}
