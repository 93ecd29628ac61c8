import { StoredEvent } from './stored-event.js';

const stored = (json: string): StoredEvent => new StoredEvent({ position: '7-0', json });

describe('StoredEvent', () => {
  it('is known by its type, and gets its position, without being parsed', () => {
    const event = stored('{"id":"evt_a_1_b","type":"a.b","meta":{}}');
    expect(event.type).toBe('a.b');
    expect(JSON.parse(event.text)).toEqual({ id: 'evt_a_1_b', type: 'a.b', meta: {}, position: '7-0' });
  });

  it('has no type where another program left half of what looks like ours', () => {
    expect(stored('{"id":"evt_a_1_b","type":"a.b","meta":').type).toBeUndefined();
  });
});
