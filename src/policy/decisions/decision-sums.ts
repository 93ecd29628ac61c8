/**
 * Sums up the decisions whose own events are not stored: one event for each second and principal. While an earlier sum is not
 * in the log yet, the next ones go on growing, so a log that is away for hours fills no memory.
 */
import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit, Optional } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { EventStream, type Summing } from '../../events/event-stream.js';
import { nowSeconds } from '../../shared/clock.js';
import { compileMask, type Mask } from '../../shared/mask.js';
import type { Decided } from './decision.events.js';
import {
  type DecisionsSummed,
  decisionsSummed,
  type SummedDecisions,
  type SumReason,
} from './decision-sums.events.js';

const EVERY_MS = 1000;
/** The limits of one event. Decisions beyond them are in the entry `other`. */
const MAX_ENTRIES = 1000;
const MAX_CHARACTERS = 65_536;
/** What an entry takes besides its texts. */
const ENTRY_CHARACTERS = 192;
/** No text of a request has it. */
const SEPARATOR = '\0';

interface Sum {
  event: DecisionsSummed;
  entries: Map<string, SummedDecisions>;
  characters: number;
}

@Injectable()
export class DecisionSums implements OnModuleInit, OnModuleDestroy, Summing {
  private sums = new Map<string, Sum>();
  private unwritten = false;
  private timer?: NodeJS.Timeout;
  private readonly mask: Mask;

  constructor(
    @Inject(CONFIG) { mask }: Pick<Config, 'mask'>,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    this.mask = compileMask(mask);
    events?.addSumming(this);
  }

  /** The timer begins outside of any request, so its events do not name the caller of one. */
  onModuleInit(): void {
    this.timer = setInterval(() => {
      if (!this.unwritten) this.publish();
    }, EVERY_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  get since(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { event } of this.sums.values()) earliest = Math.min(earliest, event.from);
    return earliest;
  }

  add(decided: Decided, reason: SumReason): void {
    const { asked_by, verdict } = decided;
    const sum = this.sumOf(asked_by);
    const { event } = sum;
    event.count += 1;
    if (!verdict.allowed) event.denied += 1;
    if (!event.reasons.includes(reason)) event.reasons.push(reason);
    event.to = nowSeconds();
    const entry = this.entryOf(sum, decided);
    if (entry) entry.count += 1;
    else this.addToOther(event, decided);
  }

  publish(): void {
    if (!this.events || this.sums.size === 0) return;
    const { sums } = this;
    this.sums = new Map();
    for (const { event, entries } of sums.values()) {
      event.entries = [...entries.values()];
      this.events.publish(decisionsSummed(event));
    }
    this.unwritten = true;
    void this.events.whenWritten().then(() => {
      this.unwritten = false;
    });
  }

  private sumOf(asked_by: string): Sum {
    const known = this.sums.get(asked_by);
    if (known) return known;
    const now = nowSeconds();
    const event = { asked_by, reasons: [], count: 0, denied: 0, entries: [], from: now, to: now };
    const sum = { event, entries: new Map<string, SummedDecisions>(), characters: 0 };
    this.sums.set(asked_by, sum);
    return sum;
  }

  /** Undefined if there is no room for another entry. */
  private entryOf(sum: Sum, { decision_id, request, verdict }: Decided): SummedDecisions | undefined {
    const { agent_id, action } = request;
    const { effect, matched_policy, matched_rule } = verdict;
    const key = [agent_id, action, effect, matched_policy, matched_rule].join(SEPARATOR);
    const known = sum.entries.get(key);
    if (known) return known;
    const characters = sum.characters + key.length + ENTRY_CHARACTERS;
    if (sum.entries.size >= MAX_ENTRIES || characters > MAX_CHARACTERS) return undefined;
    // The pointers of the mask are those into the event of a decision.
    const what = { agent_id, action, matched_policy, matched_rule, effect };
    const masked = this.mask(what) as typeof what;
    const entry = { ...masked, count: 0, first_decision_id: decision_id };
    sum.entries.set(key, entry);
    sum.characters = characters;
    return entry;
  }

  private addToOther(event: DecisionsSummed, { decision_id, verdict }: Decided): void {
    event.other ??= { count: 0, denied: 0, first_decision_id: decision_id };
    event.other.count += 1;
    if (!verdict.allowed) event.other.denied += 1;
  }
}
