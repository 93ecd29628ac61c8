import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import type { Response } from 'express';
import { StreamReader } from './stream-reader.js';

describe('EventClient', () => {
  it('removes its listeners after each wait for a slow reader', async () => {
    const response = new PassThrough({ highWaterMark: 1 });
    const reader = {
      principal: 'p',
      filter: { types: [] },
      format: 'envelope' as const,
      admitted: () => true,
    };
    const client = new StreamReader(reader, response as unknown as Response);
    const listeners = (): number => response.listenerCount('drain') + response.listenerCount('close');
    const before = listeners();
    for (let i = 0; i < 20; i += 1) {
      const sent = client.send('a part of history');
      await turn();
      response.read();
      await sent;
    }
    expect(listeners()).toBe(before);
  });
});
