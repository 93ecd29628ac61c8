/**
 * Replicas of the service in this process, on one Redis. Each publishes ticks of its own numbers without a transaction,
 * and each has a listener in its code and a reader of its live stream. All of them must get every tick of all replicas once,
 * in the order of the log.
 */
import { EventEmitter2 } from '@nestjs/event-emitter';
import { EventStream } from '../../src/events/event-stream.js';
import type { ReadEvent } from '../../src/events/log/stored-event.js';
import { sleep } from '../../src/shared/clock.js';
import { type Service, startService } from '../support/service.js';
import { count, numbersOf, tick } from '../support/ticks.js';
import { until } from '../support/until.js';
import { StreamReader } from './stream-reader.js';

/** The longest time from the recovery of Redis until all replicas and readers continue. */
export const GOES_ON_MS = 10_000;

type Heard = { id: string; event: string; data: Record<string, unknown> };

export class Replica {
  readonly heard: Heard[] = [];
  readonly reader: StreamReader;
  readonly stream: EventStream;
  published = 0;

  private constructor(
    readonly name: string,
    readonly service: Service,
    readonly url: string,
  ) {
    this.stream = service.app.get(EventStream);
    service.app.get(EventEmitter2).on('test.tick', (event: ReadEvent) => {
      this.heard.push({ id: event.position, event: event.type, data: { payload: event.payload } });
    });
    this.reader = new StreamReader(() => url);
  }

  static async start(name: string, env: Record<string, string>): Promise<Replica> {
    const service = await startService({ BRAIN_LOG_REQUESTS: 'off', ...env });
    const replica = new Replica(name, service, await service.app.getUrl());
    await until(() => replica.reader.connections > 0, GOES_ON_MS, `the first reader of ${name}`);
    return replica;
  }

  publish(howMany: number): void {
    for (let i = 0; i < howMany; i += 1) this.stream.publish(tick(this.published++, this.name, ''));
  }

  /** The lines of its log that say this. */
  said(what: string): number {
    return this.service.logs.filter(({ msg }) => String(msg).includes(what)).length;
  }

  async stop(): Promise<void> {
    await this.reader.stop();
    await this.service.stop();
  }
}

export class Fleet {
  private flowing = false;
  private flow: Promise<unknown> = Promise.resolve();

  private constructor(readonly replicas: Replica[]) {}

  /** One replica for each of these settings. */
  static async start(...settings: Record<string, string>[]): Promise<Fleet> {
    return new Fleet(await Promise.all(settings.map((env, i) => Replica.start(`replica-${i}`, env))));
  }

  publish(howMany: number): void {
    for (const replica of this.replicas) replica.publish(howMany);
  }

  /** From now on every replica publishes a few ticks every few milliseconds. */
  startFlow(): void {
    this.flowing = true;
    const run = async (): Promise<void> => {
      while (this.flowing) {
        this.publish(2);
        await sleep(10);
      }
    };
    this.flow = run();
  }

  async stopFlow(): Promise<void> {
    this.flowing = false;
    await this.flow;
  }

  /** All listeners and readers have everything that was published up to now. */
  async goesOn(): Promise<void> {
    const published = this.replicas.map((replica) => replica.published);
    const told = (): boolean =>
      this.audience().every((events) =>
        this.replicas.every(({ name }, i) => (numbersOf(events(), name).at(-1) ?? -1) >= published[i] - 1),
      );
    await until(told, GOES_ON_MS, 'everybody going on');
  }

  /** Each tick of each replica came once, and in order. */
  expectEachOnce(): void {
    for (const events of this.audience()) {
      for (const { name, published } of this.replicas) {
        expect(numbersOf(events(), name)).toEqual(count(0, published));
      }
    }
    expect(this.replicas.map(({ reader }) => reader.disordered)).toEqual(this.replicas.map(() => []));
  }

  /** The gaps in the log, once the first replica can read it again. */
  async gapsInLog(): Promise<Record<string, unknown>[]> {
    const { service } = this.replicas[0];
    const isReady = async (): Promise<boolean> => (await service.get('/readyz')).status === 200;
    await until(isReady, GOES_ON_MS, 'the return of a replica');
    const events = await service.events({ type: 'stream.gap' });
    return events.map(({ payload }) => payload as Record<string, unknown>);
  }

  async stop(): Promise<void> {
    await this.stopFlow();
    await Promise.all(this.replicas.map((replica) => replica.stop()));
  }

  private audience(): (() => Heard[])[] {
    return this.replicas.flatMap(({ heard, reader }) => [() => heard, () => reader.events]);
  }
}
