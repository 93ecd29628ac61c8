/**
 * The records by which what is sent twice is applied once. Whoever has the answer needs its record no more. Most of what
 * Redis held besides the log were such records, so they are removed, many in one command.
 */
import type { RedisLink } from './link.js';

const FORGET_AT = 100;

export class TransactionRecords {
  private answered: string[] = [];

  constructor(private readonly link: RedisLink) {}

  /** Only where no other send of the same can still be on its way: that one would find no record, and be applied again. */
  forget(...records: string[]): void {
    this.answered.push(...records);
    if (this.answered.length < FORGET_AT) return;
    const gone = this.answered;
    this.answered = [];
    // They end by themselves: where this fails nothing is lost.
    this.link.command('unlink', gone).catch(() => undefined);
  }
}
