/** Counts refused requests, and publishes the sums: an event for each refusal would let anybody fill the log. */
import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit, Optional } from '@nestjs/common';
import { EventStream } from '../events/event-stream.js';
import { nowSeconds } from '../shared/clock.js';
import { type AccessDenied, accessDenied } from './access.events.js';
import type { Principal } from './principal.js';
import { addressOf } from './throttle.js';

const EVERY_MS = 60_000;
/** Addresses are as many as an attacker wants. Principals are no more than keys, so each has its own sum. */
const MAX_ADDRESSES = 100;
const MAX_CODES = 20;
/** The sum of all addresses beyond the limit. */
const OTHERS = '';

interface Refused {
  principal?: Principal;
  ip?: string;
}

@Injectable()
export class Denials implements OnModuleInit, OnModuleDestroy {
  private sums = new Map<string, AccessDenied>();
  private addresses = 0;
  private timer?: NodeJS.Timeout;

  constructor(@Optional() @Inject(EventStream) private readonly events?: EventStream) {}

  /** The timer begins outside of any request, so its events do not name the caller of one. */
  onModuleInit(): void {
    this.timer = setInterval(() => this.publish(), EVERY_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
    this.publish();
  }

  count({ principal, ip }: Refused, { status, code }: { status: number; code: string }): void {
    const sum = this.sumOf(principal?.id ?? null, principal ? null : addressOf(ip));
    if (status === 403) sum.forbidden += 1;
    else sum.unauthenticated += 1;
    sum.to = nowSeconds();
    if (!sum.codes.includes(code) && sum.codes.length < MAX_CODES) sum.codes.push(code);
  }

  publish(): void {
    const sums = this.sums;
    this.sums = new Map();
    this.addresses = 0;
    for (const sum of sums.values()) this.events?.publish(accessDenied(sum));
  }

  private sumOf(principal_id: string | null, address: string | null): AccessDenied {
    const own = principal_id === null ? `a:${address}` : `p:${principal_id}`;
    const isOver = address !== null && this.addresses >= MAX_ADDRESSES && !this.sums.has(own);
    const key = isOver ? OTHERS : own;
    const known = this.sums.get(key);
    if (known) return known;
    const source = isOver ? { principal_id: null, address: null } : { principal_id, address };
    const now = nowSeconds();
    const sum = { ...source, unauthenticated: 0, forbidden: 0, codes: [], from: now, to: now };
    this.sums.set(key, sum);
    if (address !== null && !isOver) this.addresses += 1;
    return sum;
  }
}
