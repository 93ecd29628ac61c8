/** The one connection to Redis, and what becomes of a command when it breaks. */
import type { Redis } from 'ioredis';
import type { RedisConfig } from '../../config/config.js';
import { type BrainError, messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { createClient } from './client.js';
import { explained, isMoved, LostError, unavailable } from './errors.js';
import { type RedisInfo, readInfo, warningsOf } from './health.js';
import { RedisKeys } from './keys.js';
import type { Script } from './scripts.js';
import { Terms } from './terms.js';

export type RedisLog = Pick<Logger, 'info' | 'warn' | 'error'>;

/** A caller hears within two seconds; the rest is for the answer's own way. */
const CALL_MS = 1500;
/** A command whose answer is lost again and again may be what breaks the connection. */
const MAX_ATTEMPTS = 3;
const SWEEP_MS = 100;
/** What more is sent while so much is unanswered is refused: a queue that grows helps nobody. */
const MAX_UNANSWERED = 10_000;
/** A new connection because of READONLY or MOVED is tried no more often than this. */
const RECONNECT_EVERY_MS = 1000;
const SAME_TROUBLE_MS = 1000;
const REOPEN_MS = 250;
/** So often it is made sure that both connections see the same history. */
const ALIGN_MS = 1000;

const SILENT: RedisLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

interface Waiting {
  dueMs: number;
  fail(error: Error): void;
  go?(): void;
}

type State = 'connecting' | 'ready' | 'away' | 'closed';

export class RedisLink {
  readonly keys: RedisKeys;
  readonly waitFor: number;
  /** Grows whenever the connection breaks: what was written in an earlier epoch may be gone after a failover. */
  epoch = 0;
  readonly terms: Terms;
  private readonly client: Redis;
  private state: State = 'connecting';
  private trouble: unknown;
  private reconnectedMs = Number.NEGATIVE_INFINITY;
  private leaving = false;
  private gathering: Redis['stream'] | undefined;
  private other: RedisLink | undefined;
  private aligner: NodeJS.Timeout | undefined;
  /** Sentinel or Cluster: then another connect may find another instance. */
  private readonly finds: boolean;
  private readonly unanswered = new Set<Waiting>();
  private readonly waiting = new Set<Waiting>();
  private readonly readyListeners = new Set<() => void>();
  private readonly toldMs = new Map<string, number>();
  private readonly sweeper: NodeJS.Timeout;

  constructor(
    private readonly config: RedisConfig,
    private readonly keyPrefix: string,
    readonly log: RedisLog,
  ) {
    this.keys = new RedisKeys(config.cluster.length > 0 ? `{${keyPrefix}}` : keyPrefix);
    this.waitFor = config.wait;
    this.finds = config.cluster.length + config.sentinels.length > 0;
    this.client = createClient(config, this.keys.prefix);
    this.terms = new Terms(this.client, this.keys, log);
    this.client.on('ready', () => void this.probe());
    this.client.on('error', (error) => this.onError(error));
    this.client.on('close', () => this.onClose());
    this.client.on('end', () => this.onEnd());
    this.sweeper = setInterval(() => this.sweep(), SWEEP_MS);
    this.sweeper.unref();
    this.open();
  }

  get closed(): boolean {
    return this.state === 'closed';
  }

  /** Calls back after every connect, when whatever was known before may be outdated. */
  onConnect(listener: () => void): void {
    this.readyListeners.add(listener);
    if (this.state === 'ready') listener();
  }

  /**
   * Sends a command that is safe to send twice: when its answer is lost with the connection it is sent again.
   * `key` is named where Redis says that a key has the wrong type.
   */
  command(name: string, args: (string | number)[], key = String(args[0])): Promise<unknown> {
    return this.call(() => this.client.call(name, args), key);
  }

  script(script: Script, keys: string[], args: (string | number)[]): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args];
    const send = (): Promise<unknown> =>
      this.client.call('evalsha', [script.sha, ...rest]).catch((error: unknown) => {
        if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
        return this.client.call('eval', [script.text, ...rest]);
      });
    return this.call(() => (this.terms.due ? this.terms.settle().then(send) : send()), keys[0]);
  }

  /** A second connection to the same Redis, for commands that wait; what troubles it the first one tells. */
  blockingLink(): RedisLink {
    if (this.other) return this.other;
    const other = new RedisLink(this.config, this.keyPrefix, SILENT);
    this.other = other;
    const align = (): void => this.align(other);
    this.onConnect(align);
    other.onConnect(align);
    this.aligner = setInterval(align, ALIGN_MS).unref();
    return other;
  }

  /** After a failover one of the two may still talk to the old server: nothing need break a connection that only reads. */
  private align(other: RedisLink): void {
    if (other.terms.isBehind(this.terms)) other.reconnect();
    else if (this.terms.isBehind(other.terms)) this.reconnect();
  }

  async close(): Promise<void> {
    await this.other?.close();
    const state = this.state;
    this.state = 'closed';
    clearInterval(this.sweeper);
    clearInterval(this.aligner);
    // QUIT is answered after everything that was sent before it.
    if (state === 'ready') await Promise.race([this.client.quit(), this.gone()]).catch(() => undefined);
    this.client.disconnect();
    this.failAll(new LostError(false, 'the store is closed'));
  }

  /** Calls a listener, whose own failure is not that of the commit or of the poll that calls it. */
  notify(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.log.error('redis: a listener failed', { cause: messageOf(error) });
    }
  }

  /** One line in the log about a failure, at most one a second about the same. */
  tell(error: BrainError): void {
    const now = performance.now();
    if (now - (this.toldMs.get(error.code) ?? Number.NEGATIVE_INFINITY) < SAME_TROUBLE_MS) return;
    this.toldMs.set(error.code, now);
    const { cause } = error.more;
    this.log.error(`redis: ${error.detail}`, {
      code: error.code,
      ...(cause ? { cause: messageOf(cause) } : {}),
    });
  }

  private async call(send: () => Promise<unknown>, key?: string): Promise<unknown> {
    const dueMs = performance.now() + CALL_MS;
    let sent: LostError | undefined;
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (this.state !== 'ready') await this.ready(dueMs);
        return await this.answer(send, dueMs);
      } catch (error) {
        const lost = this.again(error);
        if (lost?.sent) sent = lost;
        if (lost && attempt < MAX_ATTEMPTS && performance.now() < dueMs) continue;
        // What may have been carried out at one attempt is not forgotten over what became of the next.
        const told = explained(error instanceof LostError ? (sent ?? error) : error, key);
        if (!this.closed && told.code !== 'index_rebuilding') this.tell(told);
        throw told;
      }
    }
  }

  /** Why a command is to be sent again, if it is. */
  private again(error: unknown): LostError | undefined {
    if (error instanceof LostError) return error.sent || this.state === 'connecting' ? error : undefined;
    return isMoved(error) && this.reconnect() ? new LostError(false, error) : undefined;
  }

  private answer(send: () => Promise<unknown>, dueMs: number): Promise<unknown> {
    if (this.unanswered.size >= MAX_UNANSWERED) {
      throw unavailable('store_busy', 'Too much is waiting for Redis; nothing was changed, try again.');
    }
    this.gather();
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { dueMs, fail: reject };
      this.unanswered.add(waiting);
      send().then(
        (value) => {
          this.unanswered.delete(waiting);
          resolve(value);
        },
        (error: unknown) => {
          this.unanswered.delete(waiting);
          // The client itself refused: the command never left.
          const unsent = /enableOfflineQueue|Connection is closed/.test(messageOf(error));
          if (unsent && this.state === 'ready') this.leave();
          reject(unsent ? new LostError(false, this.trouble ?? error) : (error as Error));
        },
      );
    });
  }

  /** What is sent in one turn of the event loop leaves in one write, which saves a third of a commit's time here. */
  private gather(): void {
    const { stream } = this.client;
    if (this.gathering === stream) return;
    this.gathering = stream;
    stream.cork();
    process.nextTick(() => {
      this.gathering = undefined;
      stream.uncork();
    });
  }

  /** Resolves when the connection stands. While the first attempt to connect lasts it is waited for, then no more. */
  private ready(dueMs: number): Promise<void> {
    if (this.state !== 'connecting') throw new LostError(false, this.trouble ?? 'closed');
    if (this.waiting.size >= MAX_UNANSWERED) {
      throw unavailable('store_busy', 'Too much is waiting for Redis; nothing was changed, try again.');
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { dueMs, fail: reject, go: resolve };
      this.waiting.add(waiting);
    });
  }

  /** True where a new connection is on its way. */
  private reconnect(): boolean {
    if (this.state !== 'ready') return this.state === 'connecting';
    if (performance.now() - this.reconnectedMs < RECONNECT_EVERY_MS) return false;
    this.reconnectedMs = performance.now();
    this.leave();
    this.client.disconnect(true);
    return true;
  }

  /** The connection is of no use any more, and its end is near. */
  private leave(): void {
    this.state = 'connecting';
    this.leaving = true;
  }

  /** The connection stands; whether Redis is ready to work, only Redis can say. */
  private async probe(): Promise<void> {
    const { epoch } = this;
    let info: RedisInfo = {};
    try {
      info = readInfo(await this.client.info());
    } catch (error) {
      // A managed Redis may forbid INFO. Whatever else it is ends the connection, or the next command tells it.
      this.trouble = error;
    }
    if (this.closed || this.epoch !== epoch) return;
    if (info.loading === '1') {
      this.trouble = new Error('LOADING');
      this.goAway();
      setTimeout(() => void this.probe(), REOPEN_MS).unref();
      return;
    }
    // Sentinels and nodes of a cluster may not know yet that the master is another.
    if (info.role === 'slave' && this.finds) return this.client.disconnect(true);
    await this.terms.begin(info);
    if (this.closed || this.epoch !== epoch) return;
    this.onReady(info);
  }

  private onReady(info: RedisInfo): void {
    this.log.info(this.epoch > 0 ? 'redis: connected again' : 'redis: connected');
    for (const warning of warningsOf(info)) this.log.warn(`redis: ${warning}`);
    this.state = 'ready';
    this.trouble = undefined;
    for (const waiting of this.waiting) waiting.go?.();
    this.waiting.clear();
    for (const listener of this.readyListeners) this.notify(listener);
  }

  private onError(error: unknown): void {
    this.trouble = error;
    if (this.state !== 'ready') this.goAway();
  }

  private onClose(): void {
    this.epoch += 1;
    const lost = new LostError(
      true,
      this.closed ? 'the store is closed' : (this.trouble ?? 'closed by Redis'),
    );
    for (const waiting of this.unanswered) waiting.fail(lost);
    this.unanswered.clear();
    if (this.closed) return;
    if (this.state === 'ready' || this.leaving) this.state = 'connecting';
    else this.goAway();
    this.leaving = false;
  }

  /** The client gives up where no address could be found to connect to; we do not. */
  private onEnd(): void {
    if (this.closed) return;
    this.goAway();
    setTimeout(() => this.open(), REOPEN_MS).unref();
  }

  private open(): void {
    if (!this.closed) this.client.connect().catch(() => undefined);
  }

  private goAway(): void {
    if (this.closed) return;
    const lost = new LostError(false, this.trouble ?? 'no connection');
    if (this.state !== 'away') this.tell(explained(lost));
    this.state = 'away';
    for (const waiting of this.waiting) waiting.fail(lost);
    this.waiting.clear();
  }

  private failAll(error: Error): void {
    for (const waiting of [...this.unanswered, ...this.waiting]) waiting.fail(error);
    this.unanswered.clear();
    this.waiting.clear();
  }

  private gone(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, CALL_MS).unref());
  }

  private sweep(): void {
    const now = performance.now();
    for (const queue of [this.unanswered, this.waiting]) {
      for (const waiting of queue) {
        if (waiting.dueMs > now) continue;
        queue.delete(waiting);
        waiting.fail(new LostError(queue === this.unanswered, 'timed out'));
      }
    }
  }
}
