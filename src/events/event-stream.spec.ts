import fc from 'fast-check';
import { silentLogger } from '../../test/support/logs.js';
import { SwitchableLog } from '../../test/support/switchable-log.js';
import { sleep } from '../shared/clock.js';
import { runInContext, serviceActor } from '../shared/context.js';
import { Num, Text } from '../shared/fields.js';
import { compileMask } from '../shared/mask.js';
import type { EventRecord } from '../storage/event-log.js';
import type { Tx } from '../storage/store.js';
import { defineEvent } from './event.js';
import { EventStream } from './event-stream.js';
import { streamGap } from './log.events.js';

class Noise {
  @Text({ max: 64 }) agent_id!: string;
  @Num() n!: number;
  secret?: string;
}

const noise = defineEvent({
  type: 'test.noise',
  module: 'test',
  payload: Noise,
  subjects: ['agent_id'],
  priority: 'LOW',
  when: 'The tests say so.',
  example: { agent_id: 'a', n: 1 },
  consumers: [],
  of: (n: number, more: object = {}): Noise => ({ agent_id: 'agent-1', n, ...more }),
});

function start(mask: string[] = []): { log: SwitchableLog; stream: EventStream } {
  const log = new SwitchableLog();
  return { log, stream: new EventStream(log, silentLogger(), compileMask(mask)) };
}

const numbers = (log: SwitchableLog): unknown[] => log.written.map(({ payload }) => (payload as Noise).n);

describe('publishing without a transaction', () => {
  it('writes within milliseconds, in order, as envelopes', async () => {
    const { log, stream } = start();
    const context = { requestId: 'r', serverRequestId: 'made-here', correlationId: 'because' };
    runInContext(context, () => {
      for (let n = 0; n < 5; n += 1) stream.publish(noise(n));
    });
    expect(log.written).toEqual([]);
    await sleep(100);
    expect(numbers(log)).toEqual([0, 1, 2, 3, 4]);
    expect(log.written[0]).toEqual({
      id: expect.stringMatching(/^evt_test_\d{13}_[0-9a-z]{8}$/),
      type: 'test.noise',
      source: 'test_service',
      target: null,
      timestamp: expect.any(Number),
      payload: { agent_id: 'agent-1', n: 0 },
      meta: {
        correlation_id: 'because',
        server_request_id: 'made-here',
        actor: serviceActor('test'),
        version: '1.0',
        schema_version: 1,
      },
    });
  });

  it('writes events that come together in few batches', async () => {
    const { log, stream } = start();
    for (let n = 0; n < 2000; n += 1) stream.publish(noise(n));
    await stream.flush();
    expect(numbers(log)).toEqual(Array.from({ length: 2000 }, (_, n) => n));
    expect(log.appends).toBeLessThanOrEqual(5);
  });

  it('waits while the log cannot be reached, and then writes everything once', async () => {
    const { log, stream } = start();
    log.mode = 'fails';
    for (let n = 0; n < 700; n += 1) stream.publish(noise(n));
    await sleep(100);
    expect(log.written).toEqual([]);
    log.mode = 'works';
    await stream.flush();
    expect(numbers(log)).toEqual(Array.from({ length: 700 }, (_, n) => n));
  });

  it('writes a batch once whose answer was lost', async () => {
    const { log, stream } = start();
    log.mode = 'loses';
    for (let n = 0; n < 10; n += 1) stream.publish(noise(n));
    await stream.flush();
    expect(numbers(log)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('keeps 50,000 while the log hangs, and then reports the rest by one gap that comes first', async () => {
    const { log, stream } = start();
    log.mode = 'hangs';
    for (let n = 0; n < 60_000; n += 1) stream.publish(noise(n));
    await sleep(50);
    for (let n = 0; n < 1000; n += 1) stream.publish(noise(n));
    expect(stream.lost).toBe(11_000);
    log.wake();
    await stream.flush();
    expect(log.written).toHaveLength(50_001);
    const gaps = log.written.filter(({ type }) => type === 'stream.gap');
    expect(gaps).toHaveLength(1);
    expect(log.written[0]).toBe(gaps[0]);
    expect(gaps[0]?.payload).toMatchObject({ reason: 'overflow', counts: { 'test.noise': 11_000 } });
  });

  it('limits the waiting events by their size as well', async () => {
    const { log, stream } = start();
    log.mode = 'hangs';
    const large = 'x'.repeat(1024 * 1024);
    for (let n = 0; n < 80; n += 1) stream.publish(noise(n, { secret: large }));
    await sleep(100);
    log.wake();
    await stream.flush();
    const [gap, ...kept] = log.written;
    expect(gap?.payload).toMatchObject({ reason: 'overflow' });
    expect(kept.length).toBeGreaterThan(60);
    expect(kept.length).toBeLessThan(65);
    expect(gap?.payload).toMatchObject({ counts: { 'test.noise': 80 - kept.length } });
  });

  it('reports sums as missing until they are published, and publishes them before the end', async () => {
    const { log, stream } = start();
    const summing = { since: 5, publish: () => stream.publish(noise(1)) };
    expect(stream.completeUntil()).toBeGreaterThan(5);
    stream.addSumming(summing);
    expect(stream.completeUntil()).toBe(5);
    expect(await stream.close()).toBe(true);
    expect(numbers(log)).toEqual([1]);
  });

  it('keeps every payload and every correlation id unchanged', async () => {
    const { log, stream } = start();
    const told: { payload: unknown; correlation: string }[] = [];
    const anything = fc.record({ more: fc.jsonValue(), correlation: fc.string({ unit: 'binary' }) });
    fc.assert(
      fc.property(anything, ({ more, correlation }) => {
        const event = noise(told.length, { more });
        const context = { requestId: 'r', correlationId: correlation };
        runInContext(context, () => stream.publish(event));
        told.push({ payload: JSON.parse(JSON.stringify(event.payload)), correlation });
      }),
      { numRuns: 500 },
    );
    await stream.flush();
    expect(log.written).toEqual(
      told.map(({ payload, correlation }) => ({
        id: expect.stringMatching(/^evt_test_\d{13}_[0-9a-z]{8}$/),
        type: 'test.noise',
        source: 'test_service',
        target: null,
        timestamp: expect.any(Number),
        payload,
        meta: {
          correlation_id: JSON.parse(JSON.stringify(correlation)),
          server_request_id: null,
          actor: serviceActor('test'),
          version: '1.0',
          schema_version: 1,
        },
      })),
    );
  });

  it('replaces a payload that cannot be serialized with the reason', async () => {
    const { log, stream } = start();
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    stream.publish(noise(1, { circular }));
    stream.publish(noise(2, { big: 1n }));
    await stream.flush();
    expect(log.written.map(({ payload }) => payload)).toEqual([
      { unserializable: expect.stringContaining('circular') },
      { unserializable: expect.stringContaining('BigInt') },
    ]);
  });

  it('masks the written payload and leaves the object of the caller unchanged', async () => {
    const { log, stream } = start(['/secret', '/deep/*/token']);
    const more = { secret: 's', deep: [{ token: 't', other: 1 }] };
    stream.publish(noise(1, more));
    await stream.flush();
    expect(log.written[0]?.payload).toMatchObject({
      secret: '[masked]',
      deep: [{ token: '[masked]', other: 1 }],
    });
    expect(more).toEqual({ secret: 's', deep: [{ token: 't', other: 1 }] });
  });

  it('treats a gap as old as the period that it reports', async () => {
    const { stream } = start();
    stream.publish(streamGap({ reason: 'rollback', from: 5, to: 9, detected_at: 10 }));
    await stream.flush();
    expect(stream.oldestWrittenAfter('0-0', 0)).toBe(5);
  });

  it('closes when everything is written, and returns false if events were not written', async () => {
    const { log, stream } = start();
    stream.publish(noise(1));
    expect(await stream.close()).toBe(true);
    expect(numbers(log)).toEqual([1]);
    log.mode = 'hangs';
    stream.publish(noise(2));
    expect(await stream.close()).toBe(false);
    log.wake();
    await stream.flush();
  });
});

describe('the buffer while the log hangs', () => {
  const as = <T>(id: string, work: () => T): T => {
    const actor = { id, role: 'agent', name: id };
    return runInContext({ requestId: 'r', correlationId: id, actor }, work);
  };
  const actors = (log: SwitchableLog): string[] => log.written.map(({ meta }) => meta.actor?.id ?? '');

  it('keeps room for others, whatever one principal publishes', async () => {
    const { log, stream } = start();
    log.mode = 'hangs';
    let handedBack = 0;
    as('flood', () => {
      for (let n = 0; n < 40_000; n += 1)
        stream.publishTogether([noise(n), noise(n)], () => {
          handedBack += 1;
        });
    });
    as('other', () => {
      for (let n = 0; n < 25; n += 1) stream.publish(noise(n));
    });
    log.wake();
    await stream.flush();
    expect(actors(log).filter((id) => id === 'other')).toHaveLength(25);
    const kept = actors(log).filter((id) => id === 'flood');
    expect(kept).toHaveLength(25_000);
    // Either both events of a group are kept or none, and nothing of it counts as lost.
    expect(handedBack).toBe(40_000 - kept.length / 2);
    expect([stream.lost, log.written.length]).toEqual([0, 25_025]);
  });

  it('keeps room by size as well', async () => {
    const { log, stream } = start();
    log.mode = 'hangs';
    const large = 'x'.repeat(1024 * 1024);
    let handedBack = 0;
    as('flood', () => {
      for (let n = 0; n < 80; n += 1)
        stream.publishTogether([noise(n, { secret: large })], () => {
          handedBack += 1;
        });
    });
    await sleep(100);
    as('other', () => stream.publish(noise(1, { secret: large })));
    await sleep(50);
    log.wake();
    await stream.flush();
    const kept = actors(log).filter((id) => id === 'flood').length;
    expect([kept + handedBack, stream.lost]).toEqual([80, 0]);
    expect(kept).toBeLessThanOrEqual(32);
    expect(actors(log)).toContain('other');
  });

  it('makes only the principal wait that has used half of its share, and not for ever', async () => {
    const { log, stream } = start();
    log.mode = 'hangs';
    as('flood', () => {
      for (let n = 0; n < 20_000; n += 1) stream.publish(noise(n));
    });
    const order: string[] = [];
    const waiting = as('flood', () => stream.room(60_000)).then(() => order.push('flood'));
    await as('flood', () => stream.room(20)).then(() => order.push('flood, in the end'));
    await as('other', () => stream.room(60_000)).then(() => order.push('other'));
    expect(order).toEqual(['flood, in the end', 'other']);
    log.wake();
    await waiting;
    await stream.flush();
    expect(order.at(-1)).toBe('flood');
  });
});

describe('publishing with a transaction', () => {
  const recording = (): { tx: Tx; records: EventRecord[] } => {
    const records: EventRecord[] = [];
    return { tx: { record: (event: EventRecord) => records.push(event) } as unknown as Tx, records };
  };

  it('adds the event to the transaction and writes nothing itself', async () => {
    const { log, stream } = start();
    const { tx, records } = recording();
    runInContext({ requestId: 'r', correlationId: 'c1' }, () => stream.publish(noise(1), tx));
    await stream.flush();
    expect(log.written).toEqual([]);
    expect(records).toHaveLength(1);
    expect(records[0]?.keys).toEqual(['s:agent-1', 'c:c1']);
  });

  it('reports a gap when the log refused the event of a commit', async () => {
    const { log, stream } = start();
    const { tx, records } = recording();
    stream.publish(noise(1), tx);
    records[0]?.refused?.('the key has the wrong type');
    await stream.flush();
    expect(log.written.map(({ type, payload }) => [type, payload])).toEqual([
      ['stream.gap', expect.objectContaining({ reason: 'refused', counts: { 'test.noise': 1 } })],
    ]);
  });

  it('never throws, whatever the transaction does', () => {
    const { stream } = start();
    const tx = {
      record: () => {
        throw new Error('no');
      },
    } as unknown as Tx;
    expect(() => stream.publish(noise(1), tx)).not.toThrow();
    expect(() => stream.publish(undefined as never)).not.toThrow();
  });
});
