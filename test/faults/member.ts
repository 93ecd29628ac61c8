/** One replica of the service, as a process that may be killed, stopped and started again, with a clock that may go wrong. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { temporaryFolder } from '../support/folder.js';
import { ServiceProcess } from '../support/process.js';
import type { Wire } from '../support/wire.js';
import type { Outage } from './history.js';

const PRELOAD = resolve(__dirname, '../support/shifted-clock.cjs');

export class Member {
  /** How far its wall clock is from the right time. */
  shiftMs = 0;
  readonly outages: Outage[] = [];
  private service?: ServiceProcess;
  private readonly folder = temporaryFolder();
  private readonly clock = join(this.folder.path, 'clock');

  constructor(
    readonly name: string,
    private readonly env: Record<string, string>,
    /** Between it and Redis; none on the embedded store. */
    readonly wire?: Wire,
  ) {}

  /** Where it listens, or did last. */
  get url(): string {
    return this.service?.url ?? '';
  }

  get logs(): Record<string, unknown>[] {
    return this.service?.logs ?? [];
  }

  get isCutOff(): boolean {
    return this.outages.some(({ why, toMs }) => why === 'cut' && toMs === Number.POSITIVE_INFINITY);
  }

  /** Resolves when it is ready; from then on it is no longer down. */
  async start(): Promise<void> {
    this.service = await ServiceProcess.start({
      BRAIN_DATA_DIR: join(this.folder.path, 'data'),
      BRAIN_LOG_REQUESTS: 'off',
      NODE_OPTIONS: `--require ${PRELOAD}`,
      SHIFTED_CLOCK: this.clock,
      ...(this.wire && { REDIS_URL: this.wire.url }),
      ...this.env,
    });
    this.isBack('down');
  }

  /** Down from the signal on, until it is started again. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    this.isOut('down');
    await this.service?.stop(signal);
  }

  freeze(): void {
    this.isOut('frozen');
    this.service?.kill('SIGSTOP');
  }

  thaw(): void {
    this.service?.kill('SIGCONT');
    this.isBack('frozen');
  }

  /** Its wall clock is that far from the right time from now on. */
  shift(ms: number): void {
    this.shiftMs = ms;
    writeFileSync(this.clock, String(ms));
  }

  tear(): void {
    this.isOut('cut');
    this.wire?.tear();
  }

  mend(): void {
    this.wire?.mend();
    this.isBack('cut');
  }

  /** What goes to Redis and comes from it takes so long in either direction from now on. */
  delay(ms: number): void {
    if (this.wire) this.wire.delayMs = ms;
  }

  isOut(why: Outage['why']): void {
    this.outages.push({
      member: this.name,
      why,
      fromMs: performance.now(),
      toMs: Number.POSITIVE_INFINITY,
    });
  }

  isBack(why: Outage['why']): void {
    const open = this.outages.find((one) => one.why === why && one.toMs === Number.POSITIVE_INFINITY);
    if (open) open.toMs = performance.now();
  }

  /** Ends it, whatever state it is in, and leaves nothing. */
  async remove(): Promise<void> {
    this.service?.kill('SIGCONT');
    await this.service?.stop('SIGKILL');
    await this.wire?.close();
    this.folder.remove();
  }
}
