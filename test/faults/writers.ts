/** Clients that report threats, change them and ask for decisions at the same time, and record the answers. */
import { randomUUID } from 'node:crypto';
import { sleep } from '../../src/shared/clock.js';
import type { Threat } from '../../src/threats/threats.dto.js';
import { SEVERITIES, STATUSES } from '../../src/threats/threats.lifecycle.js';
import type { ProcessAnswer, ServiceProcess } from '../support/process.js';
import type { Ledger, Report } from './ledger.js';

const WRITERS = 8;
/** Few, so that reports of one of them meet. */
const FINGERPRINTS = 5;
/** So that a test which waits for something else does not write for ever. */
const MAX_WRITES = 5000;
const MAX_WRONG = 10;
/** A client retries after Retry-After, but sooner than asked. */
const PAUSE_MS = 20;

const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)];

export class Writers {
  /** What no client may ever be answered. */
  readonly wrong: string[] = [];
  /** How many writes were refused with a proper 503. */
  unavailable = 0;
  slowestMs = 0;
  private stopped = false;
  private writes = 0;
  private readonly running: Promise<unknown>;

  /** `mayVanish`: the service is about to be killed, and its connections with it. */
  constructor(
    private readonly service: ServiceProcess,
    private readonly ledger: Ledger,
    private readonly mayVanish: boolean,
  ) {
    this.running = Promise.all(Array.from({ length: WRITERS }, () => this.write()));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.running;
  }

  private async write(): Promise<void> {
    while (!this.stopped && this.writes < MAX_WRITES) {
      this.writes += 1;
      try {
        const choice = Math.random();
        const before = this.unavailable;
        if (choice < 0.25) await this.report();
        else if (choice < 0.5) await this.report(`fp-${Math.floor(Math.random() * FINGERPRINTS)}`);
        else if (choice < 0.75) await this.move();
        else await this.decide();
        if (this.unavailable > before) await sleep(PAUSE_MS);
      } catch (error) {
        if (this.mayVanish && !this.service.running) return;
        if (this.mayVanish && isBroken(error)) return;
        this.isWrong(String(error));
        return;
      }
    }
  }

  private async report(fingerprint?: string): Promise<void> {
    const key = randomUUID();
    const body = {
      // A fingerprint belongs to a type and a source.
      type: fingerprint === undefined ? pick(['injection', 'exfiltration']) : 'injection',
      source: fingerprint ?? key,
      severity: pick(SEVERITIES),
      ...(fingerprint !== undefined && { fingerprint }),
    };
    const report: Report = { key, body };
    try {
      const answer = await this.service.post('/api/threats', body, { 'Idempotency-Key': key });
      if (this.isDone(answer, [200, 201])) this.ledger.acknowledgeReport(report, threatIn(answer));
      else this.ledger.leaveOpen(report);
    } catch (error) {
      this.ledger.leaveOpen(report);
      throw error;
    }
  }

  private async move(): Promise<void> {
    const id = this.ledger.anyId(Math.random);
    if (id === undefined) return;
    const answer = await this.service.post(`/api/threats/${id}/status`, { status: pick(STATUSES) });
    if (this.isDone(answer, [200, 409])) {
      if (answer.status === 200) this.ledger.acknowledge(threatIn(answer));
    }
  }

  /** Its events are buffered. The gap of the unclean stop reports those that a kill loses. */
  private async decide(): Promise<void> {
    const request = { agent_id: randomUUID(), agent_role: pick(['admin', 'guest']), action: 'threats.read' };
    const answer = await this.service.post('/api/policy/evaluate', request);
    if (this.isDone(answer, [200]) && answer.body.allowed !== true) this.isWrong('a permission was lost');
  }

  private isDone(answer: ProcessAnswer, good: number[]): boolean {
    this.slowestMs = Math.max(this.slowestMs, answer.ms);
    if (good.includes(answer.status)) return true;
    if (isProperlyUnavailable(answer)) this.unavailable += 1;
    else this.isWrong(`${answer.status} ${JSON.stringify(answer.body)}`);
    return false;
  }

  private isWrong(what: string): void {
    if (this.wrong.length < MAX_WRONG) this.wrong.push(what);
  }
}

/** A 503 as the contract promises it: a problem, and when to come back. */
export function isProperlyUnavailable({ status, headers, body }: ProcessAnswer): boolean {
  return (
    status === 503 &&
    /^[1-9]\d*$/.test(String(headers['retry-after'])) &&
    String(headers['content-type']).startsWith('application/problem+json') &&
    body.status === 503 &&
    typeof body.code === 'string'
  );
}

function threatIn({ body }: ProcessAnswer): Threat {
  return body as unknown as Threat;
}

function isBroken(error: unknown): boolean {
  return ['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes(String((error as NodeJS.ErrnoException).code));
}
