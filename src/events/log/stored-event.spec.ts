import { StoredEvent } from './stored-event.js';

const stored = (json: string): StoredEvent => new StoredEvent({ position: '7-0', json });

describe('StoredEvent', () => {
  it('has its type and gets its position without being parsed', () => {
    const event = stored('{"id":"evt_a_1_b","type":"a.b","meta":{}}');
    expect(event.type).toBe('a.b');
    expect(JSON.parse(event.text)).toEqual({ id: 'evt_a_1_b', type: 'a.b', meta: {}, position: '7-0' });
  });

  it('has no type if another program wrote half of an envelope', () => {
    expect(stored('{"id":"evt_a_1_b","type":"a.b","meta":').type).toBeUndefined();
  });
});
