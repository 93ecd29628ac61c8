/** The parts are connected. A missing import or missing decorator metadata gives a silent `undefined`. */
import {
  Body,
  Controller,
  Get,
  Injectable,
  type MiddlewareConsumer,
  Module,
  Param,
  Post,
  Query,
  type Type,
} from '@nestjs/common';
import { HttpAdapterHost, NestApplication } from '@nestjs/core';
import { OnEvent } from '@nestjs/event-emitter';
import type { NextFunction, Request, Response } from 'express';
import { AppModule } from '../src/app.module.js';
import { EventStream } from '../src/events/event-stream.js';
import type { ReadEvent } from '../src/events/log/stored-event.js';
import { InputGuard } from '../src/http/input.guard.js';
import { Access, Public } from '../src/security/access.decorator.js';
import { AccessGuard } from '../src/security/access.guard.js';
import { EventLog } from '../src/storage/event-log.js';
import { Store } from '../src/storage/store.js';
import { type Service, startService } from './support/service.js';
import { until } from './support/until.js';

/** A write to each domain, and the event that it publishes; a new domain adds its own. */
const WRITES: [path: string, body: object, type: string][] = [
  ['/api/threats', { type: 't', source: 's', severity: 'LOW' }, 'threat.detected'],
  ['/api/policy/policies', { name: 'p' }, 'policy.created'],
  ['/api/immune/event', { severity: 'INFO', type: 'ERROR_SPIKE', message: 'm' }, 'immune.event_published'],
  ['/api/missions', { name: 'm' }, 'mission.created'],
];

/** A domain that reacts to another one, as EVENTS.md shows it. */
@Injectable()
class Listener {
  static readonly heard: ReadEvent[] = [];

  @OnEvent('threat.*')
  onThreat(event: ReadEvent): void {
    Listener.heard.push(event);
  }
}

@Module({ providers: [Listener] })
class ListeningModule {}

/** Starts the service with one more module. */
async function startWith(extra: Type): Promise<Service> {
  const app = AppModule.for.bind(AppModule);
  const spy = jest.spyOn(AppModule, 'for').mockImplementation((...args) => {
    const module = app(...args);
    return { ...module, imports: [...(module.imports ?? []), extra] };
  });
  try {
    return await startService();
  } finally {
    spy.mockRestore();
  }
}

describe('the wiring', () => {
  let service: Service;
  afterEach(() => service.stop());

  it('connects every domain to the same EventStream and the same store', async () => {
    service = await startService();
    const publish = jest.spyOn(service.app.get(EventStream), 'publish');
    const transaction = jest.spyOn(service.app.get(Store), 'transaction');
    for (const [path, body, type] of WRITES) {
      publish.mockClear();
      transaction.mockClear();
      expect((await service.post(path, body)).status).toBeLessThan(300);
      expect(publish.mock.calls.map(([event]) => event.definition.type)).toContain(type);
      expect(transaction).toHaveBeenCalled();
    }
  });

  it('connects no domain to an EventStream when events are off', async () => {
    service = await startService({ BRAIN_EVENTS: 'off' });
    expect(() => service.app.get(EventStream)).toThrow();
    for (const [path, body] of WRITES) expect((await service.post(path, body)).status).toBeLessThan(300);
    expect((await service.app.get(EventLog).bounds()).length).toBe(0);
  });

  it('hands the events of one domain to the decorated method of another', async () => {
    service = await startWith(ListeningModule);
    const report = { type: 'secret_leak', source: 'scanner', severity: 'HIGH' };
    const { body } = await service.post('/api/threats', report).expect(201);
    await until(() => Listener.heard.length > 0, 5000, 'the listener to be told');
    const logged = await service.events({ subject: body.id as string });
    expect(Listener.heard).toEqual(logged);
  });
});

describe('a start', () => {
  const passOn = (_request: Request, _response: Response, next: NextFunction): void => next();

  it('is refused with middleware in front of the routes, by Nest or by Express', async () => {
    @Module({})
    class WithConsumer {
      configure(consumer: MiddlewareConsumer): void {
        consumer.apply(passOn).forRoutes('api/threats');
      }
    }
    @Module({})
    class WithExpress {
      constructor(host: HttpAdapterHost) {
        host.httpAdapter.use(passOn);
      }
    }
    await expect(startWith(WithConsumer)).rejects.toThrow(
      /^The middleware \S+ comes before GET \/api\/threats\S*, which would skip it; make it a guard\.$/,
    );
    await expect(startWith(WithExpress)).rejects.toThrow(
      /^The middleware passOn comes before GET \S+, which would skip it/,
    );
  });

  it('is refused with a route that another one hides', async () => {
    @Controller('api/hidden')
    class Hiding {
      @Get(':id')
      @Public()
      one(@Param('id') id: string): string {
        return id;
      }

      @Get('all')
      @Public()
      all(): string {
        return 'all';
      }
    }
    @Controller('api/hidden')
    class Repeating {
      @Get('all')
      @Public()
      again(): string {
        return 'again';
      }
    }
    @Module({ controllers: [Hiding] })
    class HidingModule {}
    @Module({ controllers: [Repeating, Repeating] })
    class RepeatingModule {}
    @Module({ imports: [RepeatingModule], controllers: [Repeating] })
    class TwiceModule {}
    await expect(startWith(HidingModule)).rejects.toThrow(
      'The route /api/hidden/:id comes before GET /api/hidden/all, which would skip it; declare it later.',
    );
    await expect(startWith(TwiceModule)).rejects.toThrow('GET /api/hidden/all is declared by two handlers');
  });

  it('is refused with a handler whose input is not checked, or whose permission nobody declares', async () => {
    interface Shape {
      name: string;
    }
    const moduleOf = (controller: Type): Type => {
      @Module({ controllers: [controller] })
      class Extra {}
      return Extra;
    };
    @Controller('a')
    class TakesBody {
      @Post()
      @Public()
      make(@Body() _body: Shape): void {}
    }
    @Controller('a')
    class TakesMember {
      @Post()
      @Public()
      make(@Body('name') _name: string): void {}
    }
    @Controller('a')
    class TakesQuery {
      @Get()
      @Public()
      list(@Query() _query: Shape): void {}
    }
    @Controller('a')
    class TakesPath {
      @Get(':id')
      @Public()
      one(@Param() _path: Shape): void {}
    }
    @Controller('a')
    class DemandsUnknown {
      @Get()
      @Access('nothing:read')
      list(): void {}
    }
    const refusals: [Type, RegExp][] = [
      [DemandsUnknown, /^DemandsUnknown\.list demands the permission nothing:read, which no module declares/],
      [TakesBody, /^TakesBody\.make takes a body without a class/],
      [TakesMember, /^TakesMember\.make takes @Body\('name'\)/],
      [TakesQuery, /^TakesQuery\.list takes a query without a class/],
      [TakesPath, /^TakesPath\.one takes all path parameters at once/],
    ];
    for (const [controller, sentence] of refusals)
      await expect(startWith(moduleOf(controller))).rejects.toThrow(sentence);
  });
});

describe('the guards', () => {
  it('are that of access and then that of input, and no others', async () => {
    const set = jest.spyOn(NestApplication.prototype, 'useGlobalGuards');
    const access = jest.spyOn(AccessGuard.prototype, 'canActivate');
    const input = jest.spyOn(InputGuard.prototype, 'canActivate');
    const service = await startService();
    try {
      expect((await service.post('/api/threats', { type: 7 }, '')).status).toBe(401);
      expect([access.mock.calls.length, input.mock.calls.length]).toEqual([1, 0]);
      expect((await service.post('/api/threats', { type: 7 })).status).toBe(422);
      expect([access.mock.calls.length, input.mock.calls.length]).toEqual([2, 1]);
      const guards = set.mock.calls.flat().map((guard) => guard.constructor.name);
      expect(guards).toEqual(['AccessGuard', 'InputGuard']);
    } finally {
      await service.stop();
      jest.restoreAllMocks();
    }
  });
});
