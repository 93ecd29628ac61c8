import type { EventStream } from '../events/event-stream.js';
import type { AccessDenied } from './access.events.js';
import { Denials } from './denials.js';
import type { Principal } from './principal.js';

describe('refused requests', () => {
  let published: AccessDenied[];
  let denials: Denials;
  beforeEach(() => {
    published = [];
    const publish = ({ payload }: { payload: object }): void => void published.push(payload as AccessDenied);
    denials = new Denials({ publish } as unknown as EventStream);
  });

  const forbidden = { status: 403, code: 'forbidden' };
  const unknown = { status: 401, code: 'unauthenticated' };

  it('are summed by principal, and by address without one', () => {
    const principal = { id: 'key_1' } as Principal;
    denials.count({ principal, ip: '10.0.0.1' }, forbidden);
    denials.count({ principal, ip: '10.0.0.2' }, { status: 403, code: 'agent_not_yours' });
    denials.count({ ip: '10.0.0.1' }, unknown);
    denials.count({ ip: '10.0.0.1' }, { status: 429, code: 'too_many_failures' });
    denials.count({ ip: '2001:db8::1' }, unknown);
    denials.count({ ip: '2001:db8::2' }, unknown);
    denials.publish();
    expect(published).toEqual([
      expect.objectContaining({
        principal_id: 'key_1',
        address: null,
        forbidden: 2,
        unauthenticated: 0,
        codes: ['forbidden', 'agent_not_yours'],
      }),
      expect.objectContaining({ principal_id: null, address: '10.0.0.1', forbidden: 0, unauthenticated: 2 }),
      expect.objectContaining({ address: '2001:db8:0:0::/64', unauthenticated: 2 }),
    ]);
    denials.publish();
    expect(published).toHaveLength(3);
  });

  it('of more than 100 addresses are in one sum more, but those of a principal never are', () => {
    for (let i = 0; i < 150; i += 1) denials.count({ ip: `10.0.0.${i}` }, unknown);
    denials.count({ ip: '10.0.0.0' }, unknown);
    denials.count({ principal: { id: 'key_1' } as Principal, ip: '10.0.0.149' }, forbidden);
    denials.publish();
    expect(published).toHaveLength(102);
    expect(published[0]).toMatchObject({ address: '10.0.0.0', unauthenticated: 2 });
    expect(published[100]).toMatchObject({ principal_id: null, address: null, unauthenticated: 50 });
    expect(published[101]).toMatchObject({ principal_id: 'key_1', forbidden: 1 });
  });

  it('are published when the service stops', () => {
    denials.onModuleInit();
    denials.count({ ip: '10.0.0.1' }, unknown);
    denials.onModuleDestroy();
    expect(published).toHaveLength(1);
  });
});
