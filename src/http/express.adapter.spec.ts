/** The checks of the routes at the start: middleware in front of the map, and paths that are not exact. */
import { Controller, Get, type MiddlewareConsumer, Module, RequestMethod } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import type { Express } from 'express';
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

describe('a request and its response', () => {
  it('have the prototypes of Express from the start, so that Express changes none', async () => {
    const prototypes: unknown[] = [];
    const adapter = new FastExpressAdapter({
      maxConnections: 10,
      connectionRefused: () => undefined,
      inContext: (one, answer, serve) => {
        prototypes.push(Object.getPrototypeOf(one), Object.getPrototypeOf(answer));
        serve();
      },
      refuse: (_error, _request, response) => void response.status(400).end(),
    });
    adapter.initHttpServer();
    const { request: ofRequest, response: ofResponse } = adapter.getInstance<Express>();
    await request(adapter.getHttpServer()).get('/nothing');
    expect(prototypes[0]).toBe(ofRequest);
    expect(prototypes[1]).toBe(ofResponse);
  });
});
