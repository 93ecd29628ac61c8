/** That the parts are really connected: a missing import or decorator metadata gives a silent `undefined`. */
import { EventStream } from '../src/events/event-stream.js';
import { ImmuneService } from '../src/immune/immune.service.js';
import { MissionsService } from '../src/missions/missions.service.js';
import { PolicyService } from '../src/policy/policy.service.js';
import { Store } from '../src/storage/store.js';
import { ThreatsService } from '../src/threats/threats.service.js';
import { type Service, startService } from './support/service.js';

/** Every service that publishes; a new domain adds its own. */
const PUBLISHERS = [ThreatsService, PolicyService, ImmuneService, MissionsService];

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
});
