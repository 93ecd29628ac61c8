/** The checks of the routes at the start: middleware in front of the map, and paths that are not exact. */
import { Controller, Get, type MiddlewareConsumer, Module, RequestMethod } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import request from 'supertest';
import { FastExpressAdapter } from './express.adapter.js';
import { inexactRoutes, layersOf, matchExactly } from './express-routes.js';

@Controller('thing')
class ThingController {
  @Get()
  get(): object {
    return { seen: true };
  }
}

const deny = (_request: unknown, response: { status(n: number): { end(): void } }): void =>
  response.status(418).end();

describe.each([
  ['all methods', RequestMethod.ALL],
  ['GET', RequestMethod.GET],
])('middleware for the path of a route and %s', (_name, method) => {
  it('runs, or is reported at the start', async () => {
    @Module({ controllers: [ThingController] })
    class App {
      configure(consumer: MiddlewareConsumer): void {
        consumer.apply(deny).forRoutes({ path: 'thing', method });
      }
    }
    const adapter = new FastExpressAdapter({
      maxConnections: 10,
      connectionRefused: () => undefined,
      inContext: (_request, _response, serve) => serve(),
      refuse: (_error, _request, response) => void response.status(400).end(),
    });
    const app = await NestFactory.create<NestExpressApplication>(App, adapter, {
      logger: false,
      bodyParser: false,
    });
    await app.init();
    await app.listen(0, '127.0.0.1');
    const { status } = await request(app.getHttpServer()).get('/thing');
    const faults = adapter.routeFaults();
    await app.close();
    expect({ ran: status === 418, faults: faults.length }).not.toEqual({ ran: false, faults: 0 });
  });
});

describe('a route that matches other spellings of its path', () => {
  it('is reported at the start', () => {
    const adapter = new ExpressAdapter();
    const app = adapter.getInstance<Parameters<typeof layersOf>[0]>();
    adapter.get('/loose', deny);
    matchExactly(app);
    adapter.get('/exact/:id', deny);
    expect(inexactRoutes(layersOf(app))).toEqual([expect.stringContaining('The route /loose ')]);
  });
});
