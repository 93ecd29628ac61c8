/**
 * Removes transaction records, by which a transaction that is sent twice is applied once. When the answer has arrived the
 * record is not needed any more. Without this the records take most of the memory of Redis after the log.
 */
import type { RedisLink } from './link.js';

const FORGET_AT = 100;

export class TransactionRecords {
  private answered: string[] = [];

  constructor(private readonly link: RedisLink) {}

  /** Only call it if no other copy of the request can still arrive. Without its record a copy is applied again. */
  forget(...records: string[]): void {
    this.answered.push(...records);
    if (this.answered.length < FORGET_AT) return;
    const gone = this.answered;
    this.answered = [];
    // The records also expire, so a failure does no harm.
    this.link.command('unlink', gone).catch(() => undefined);
  }
}
