/**
 * The connection to Redis. It decides whether a command is sent again when the connection breaks.
 *
 *     state        a call          event                                       next state
 *     connecting   waits           the server answers and is not loading       ready
 *                                  connecting fails, or the server is loading  unreachable
 *     ready        is sent         the connection breaks or is given up        connecting
 *     unreachable  fails at once   the server answers and is not loading       ready
 *     any                          `close` is called                           closed
 */
import type { Redis } from 'ioredis';
import type { RedisConfig } from '../../config/config.js';
import { type BrainError, messageOf } from '../../shared/errors.js';
import { LogOnce } from '../../shared/log-once.js';
import type { Logger } from '../../shared/logger.js';
import { keepAligned } from './align.js';
import { createClient } from './client.js';
import { explained, isMoved, LostError } from './errors.js';
import { type RedisInfo, readInfo, warningsOf } from './health.js';
import { RedisKeys } from './keys.js';
import { OneWrite } from './one-write.js';
import { type PendingCall, PendingCalls } from './pending.js';
import type { Script } from './scripts.js';
import { ServerHistories } from './server-histories.js';

export type RedisLog = Pick<Logger, 'info' | 'warn' | 'error'>;

/** A caller must get an answer within two seconds. The rest is for the way of the answer. */
const CALL_MS = 1500;
/** A command whose answer gets lost this often may itself break the connection. */
const MAX_ATTEMPTS = 3;
const SWEEP_MS = 100;
/** READONLY and MOVED open a new connection at most this often. */
const RECONNECT_EVERY_MS = 1000;
const REOPEN_MS = 250;

type State = 'connecting' | 'ready' | 'unreachable' | 'closed';

export class RedisLink {
  readonly keys: RedisKeys;
  readonly waitFor: number;
  /** Grows when the connection breaks. After a failover the writes of an earlier epoch may be lost. */
  epoch = 0;
  readonly histories: ServerHistories;
  private readonly client: Redis;
  private state: State = 'connecting';
  /** Why there is no connection. */
  private lastError: unknown;
  private reconnectedMs = Number.NEGATIVE_INFINITY;
  /** This link gave the connection up. It is about to close, and a new one is on its way. */
  private closeIsExpected = false;
  private blockingConnection: RedisLink | undefined;
  private stopAligning: (() => void) | undefined;
  /** With Sentinel or Cluster, a new connection may be to another server. */
  private readonly canFindAnotherServer: boolean;
  private readonly unanswered = new PendingCalls(true);
  /** Calls that wait for the connection. */
  private readonly waiting = new PendingCalls(false);
  private readonly oneWrite: OneWrite;
  private readonly readyListeners = new Set<() => void>();
  private readonly sweeper: NodeJS.Timeout;

  constructor(
    private readonly config: RedisConfig,
    private readonly keyPrefix: string,
    readonly log: RedisLog,
    private readonly errorLog = new LogOnce(),
  ) {
    this.keys = new RedisKeys(config.cluster.length > 0 ? `{${keyPrefix}}` : keyPrefix);
    this.waitFor = config.wait;
    this.canFindAnotherServer = config.cluster.length + config.sentinels.length > 0;
    this.client = createClient(config, this.keys.prefix);
    this.oneWrite = new OneWrite(this.client);
    this.histories = new ServerHistories(this.client, this.keys, log);
    this.client.on('ready', () => void this.checkServer());
    this.client.on('error', (error) => this.onError(error));
    this.client.on('close', () => this.onClose());
    this.client.on('end', () => this.onEnd());
    this.sweeper = setInterval(() => this.failLate(), SWEEP_MS).unref();
    this.connect();
  }

  get closed(): boolean {
    return this.state === 'closed';
  }

  /** Calls back after every connect. Everything that was read before may then be out of date. */
  onConnect(listener: () => void): void {
    this.readyListeners.add(listener);
    if (this.state === 'ready') listener();
  }

  /**
   * Sends a command that is safe to send twice. It is sent again when the connection breaks before the answer. The error
   * for a wrong type names `key`.
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
    return this.call(() => this.histories.storeBefore(send), keys[0]);
  }

  /** A second connection to the same Redis, for commands that block. Both together log an error once a second. */
  blockingLink(): RedisLink {
    if (this.blockingConnection) return this.blockingConnection;
    const { log } = this;
    // The first one logs when it connects, and the state of Redis.
    const onlyErrors: RedisLog = { info() {}, warn() {}, error: (...line) => log.error(...line) };
    const link = new RedisLink(this.config, this.keyPrefix, onlyErrors, this.errorLog);
    this.blockingConnection = link;
    this.stopAligning = keepAligned(this, link);
    return link;
  }

  async close(): Promise<void> {
    await this.blockingConnection?.close();
    const state = this.state;
    this.state = 'closed';
    clearInterval(this.sweeper);
    this.stopAligning?.();
    // Redis answers QUIT after all commands before it.
    if (state === 'ready') await Promise.race([this.client.quit(), callTimeout()]).catch(() => undefined);
    this.client.disconnect();
    const lost = new LostError(false, 'the store is closed');
    this.unanswered.failAll(lost);
    this.waiting.failAll(lost);
  }

  /** Calls a listener. An error of the listener must not fail the commit or the poll that calls it. */
  notify(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.log.error('redis: a listener failed', { cause: messageOf(error) });
    }
  }

  private report(error: BrainError): void {
    if (!this.errorLog.isDue(error.code)) return;
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
        const lost = this.retryReason(error);
        if (lost?.sent) sent = lost;
        if (lost && attempt < MAX_ATTEMPTS && performance.now() < dueMs) continue;
        // If Redis may have executed one attempt, the error says so, whatever happened to the next attempt.
        const failure = explained(error instanceof LostError ? (sent ?? error) : error, key);
        if (!this.closed && failure.code !== 'index_rebuilding') this.report(failure);
        throw failure;
      }
    }
  }

  /** The reason to send a command again; undefined if it must not be sent again. */
  private retryReason(error: unknown): LostError | undefined {
    if (error instanceof LostError) return error.sent || this.state === 'connecting' ? error : undefined;
    return isMoved(error) && this.reconnect() ? new LostError(false, error) : undefined;
  }

  private answer(send: () => Promise<unknown>, dueMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const call: PendingCall = { dueMs, fail: reject };
      this.unanswered.add(call);
      this.oneWrite.gather();
      send().then(
        (value) => {
          this.unanswered.delete(call);
          resolve(value);
        },
        (error: unknown) => {
          this.unanswered.delete(call);
          // The client refused the command, so it was never sent.
          const unsent = /enableOfflineQueue|Connection is closed/.test(messageOf(error));
          if (unsent && this.state === 'ready') this.expectReconnect();
          reject(unsent ? new LostError(false, this.lastError ?? error) : (error as Error));
        },
      );
    });
  }

  /** Resolves when the connection is ready. Once an attempt to connect has failed, a call fails at once. */
  private ready(dueMs: number): Promise<void> {
    if (this.state !== 'connecting') throw new LostError(false, this.lastError ?? 'closed');
    return new Promise((resolve, reject) => {
      this.waiting.add({ dueMs, fail: reject, go: resolve });
    });
  }

  /** True if a new connection is on its way. */
  reconnect(): boolean {
    if (this.state !== 'ready') return this.state === 'connecting';
    if (performance.now() - this.reconnectedMs < RECONNECT_EVERY_MS) return false;
    this.reconnectedMs = performance.now();
    this.expectReconnect();
    this.client.disconnect(true);
    return true;
  }

  private expectReconnect(): void {
    this.state = 'connecting';
    this.closeIsExpected = true;
  }

  /** The socket is connected. INFO says whether Redis is ready. */
  private async checkServer(): Promise<void> {
    const { epoch } = this;
    let info: RedisInfo = {};
    try {
      info = readInfo(await this.client.info());
    } catch (error) {
      // A managed Redis may forbid INFO. Any other failure ends the connection or fails the next command.
      this.lastError = error;
    }
    if (this.closed || this.epoch !== epoch) return;
    if (info.loading === '1') {
      this.lastError = new Error('LOADING');
      this.markUnreachable();
      setTimeout(() => void this.checkServer(), REOPEN_MS).unref();
      return;
    }
    // Sentinels and cluster nodes may still report the old master.
    if (info.role === 'slave' && this.canFindAnotherServer) return this.client.disconnect(true);
    await this.histories.onConnected(info);
    if (this.closed || this.epoch !== epoch) return;
    this.onReady(info);
  }

  private onReady(info: RedisInfo): void {
    this.log.info(this.epoch > 0 ? 'redis: connected again' : 'redis: connected');
    for (const warning of warningsOf(info)) this.log.warn(`redis: ${warning}`);
    this.state = 'ready';
    this.lastError = undefined;
    this.waiting.goAll();
    for (const listener of this.readyListeners) this.notify(listener);
  }

  private onError(error: unknown): void {
    this.lastError = error;
    if (this.state !== 'ready') this.markUnreachable();
  }

  private onClose(): void {
    this.epoch += 1;
    const reason = this.closed ? 'the store is closed' : (this.lastError ?? 'closed by Redis');
    this.unanswered.failAll(new LostError(true, reason));
    if (this.closed) return;
    if (this.state === 'ready' || this.closeIsExpected) this.state = 'connecting';
    else this.markUnreachable();
    this.closeIsExpected = false;
  }

  /** The client gives up when it finds no address to connect to. So the link opens it again. */
  private onEnd(): void {
    if (this.closed) return;
    this.markUnreachable();
    setTimeout(() => this.connect(), REOPEN_MS).unref();
  }

  private connect(): void {
    if (!this.closed) this.client.connect().catch(() => undefined);
  }

  private markUnreachable(): void {
    if (this.closed) return;
    const lost = new LostError(false, this.lastError ?? 'no connection');
    if (this.state !== 'unreachable') this.report(explained(lost));
    this.state = 'unreachable';
    this.waiting.failAll(lost);
  }

  private failLate(): void {
    const nowMs = performance.now();
    this.unanswered.failLate(nowMs);
    this.waiting.failLate(nowMs);
  }
}

function callTimeout(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, CALL_MS).unref());
}
