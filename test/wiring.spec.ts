/** That the parts are really connected: a missing import or decorator metadata gives a silent `undefined`. */
import { Injectable, Module } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { AppModule } from '../src/app.module.js';

import { EventStream } from '../src/events/event-stream.js';
import type { ReadEvent } from '../src/events/log/stored-event.js';
import { ImmuneService } from '../src/immune/immune.service.js';
import { MissionsService } from '../src/missions/missions.service.js';
import { PolicyService } from '../src/policy/decisions/policy.service.js';
import { Store } from '../src/storage/store.js';
import { ThreatsService } from '../src/threats/threats.service.js';
import { until } from './support/redis-server.js';
import { type Service, startService } from './support/service.js';

/** Every service that publishes; a new domain adds its own. */
const PUBLISHERS = [ThreatsService, PolicyService, ImmuneService, MissionsService];

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

describe('the wiring', () => {
  let service: Service;
  afterEach(() => service.stop());

  it('gives every domain the one stream and the one store', async () => {
    service = await startService();
    const stream = service.app.get(EventStream);
    const store = service.app.get(Store);
    for (const publisher of PUBLISHERS) {
      const parts = Object.values(service.app.get<object>(publisher) as Record<string, unknown>);
      expect(parts).toContain(stream);
      expect(parts).toContain(store);
    }
  });

  it('gives no domain a stream when events are off', async () => {
    service = await startService({ BRAIN_EVENTS: 'off' });
    expect(() => service.app.get(EventStream)).toThrow();
    for (const publisher of PUBLISHERS) {
      const parts = Object.values(service.app.get<object>(publisher) as Record<string, unknown>);
      expect(parts.some((part) => part instanceof EventStream)).toBe(false);
    }
  });

  it('hands the events of one domain to the decorated method of another', async () => {
    const app = AppModule.for.bind(AppModule);
    const spy = jest.spyOn(AppModule, 'for').mockImplementation((...args) => {
      const module = app(...args);
      return { ...module, imports: [...(module.imports ?? []), ListeningModule] };
    });
    service = await startService();
    spy.mockRestore();
    const report = { type: 'secret_leak', source: 'scanner', severity: 'HIGH' };
    const { body } = await service.post('/api/threats', report).expect(201);
    await until(() => Listener.heard.length > 0, 5000, 'the listener to be told');
    const logged = await service.events({ subject: body.id as string });
    expect(Listener.heard).toEqual(logged);
  });
});
