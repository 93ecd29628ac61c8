/**
 * Limits how many requests a principal may send to this replica, by class of route. The guard asks it once for each request,
 * before the body is read. So a refused request costs little, and a repeated one counts like any other.
 */
import { parse as parseQuery } from 'node:querystring';
import { Inject, Injectable } from '@nestjs/common';
import type { Response } from 'express';
import { CONFIG, type Config, settingsIn } from '../config/config.js';
import { BrainError } from '../shared/errors.js';
import { EventLoopWatch } from '../shared/event-loop-watch.js';
import { TokenBuckets } from '../shared/token-buckets.js';
import type { Cost, PrincipalRequest } from './access.decorator.js';
import type { Principal } from './principal.js';
import { RATE_SETTINGS } from './rates.settings.js';

/** A bucket holds the tokens of so many seconds. */
const BURST_SECONDS = 5;
/** The parameters of a list that select no rows by their content. */
const NO_FILTERS = new Set(['limit', 'cursor', 'order', 'since', 'until', 'view', 'format']);

interface Limit {
  /** In the headers `RateLimit` and `RateLimit-Policy`. */
  name: string;
  buckets: TokenBuckets;
  /** The structured field of `RateLimit-Policy`. */
  policy: string;
}

/** Undefined: requests of this class have no limit. */
export type RouteClass = 'decisions' | 'writes' | 'heavy' | undefined;

/** The only place that decides in which class a request is. */
export function routeClassOf(cost: Cost | undefined, { method, url }: PrincipalRequest): RouteClass {
  if (cost === 'heavy') return 'heavy';
  const mark = url.indexOf('?');
  if (mark >= 0 && cost !== undefined) {
    const query = parseQuery(url.slice(mark + 1));
    if (cost === 'list' && Object.keys(query).filter((name) => !NO_FILTERS.has(name)).length > 1)
      return 'heavy';
    if (cost === 'decision' && query.explain !== undefined && query.explain !== 'false') return 'heavy';
  }
  if (cost === 'decision') return 'decisions';
  return method === 'GET' || method === 'HEAD' ? undefined : 'writes';
}

@Injectable()
export class Rates {
  private readonly decisions?: Limit;
  private readonly heavy?: Limit;
  private readonly writes: { agent?: Limit; gateway?: Limit; others?: Limit };
  private readonly heavyAtOnce: number;
  /** How many heavy requests of each principal are under way. */
  private readonly running = new Map<string, number>();

  constructor(
    @Inject(CONFIG) config: Config,
    private readonly watch: EventLoopWatch,
  ) {
    const settings = settingsIn(config, RATE_SETTINGS);
    this.decisions = limitOf('decisions', settings.BRAIN_RATE_DECISIONS);
    this.heavy = limitOf('heavy', settings.BRAIN_RATE_HEAVY);
    this.writes = {
      agent: limitOf('writes', settings.BRAIN_RATE_WRITES_AGENT),
      gateway: limitOf('writes', settings.BRAIN_RATE_WRITES_GATEWAY),
      others: limitOf('writes', settings.BRAIN_RATE_WRITES),
    };
    this.heavyAtOnce = settings.BRAIN_RATE_HEAVY_AT_ONCE;
  }

  /** Throws if the principal has sent too many requests of this class, or too many heavy ones are under way. */
  admit(request: PrincipalRequest, principal: Principal, cost: Cost | undefined, response: Response): void {
    const kind = routeClassOf(cost, request);
    if (kind === undefined) return;
    if (kind === 'heavy' && this.watch.isOverloaded) throw sheddingLoad();
    const limit = this.limitFor(kind, principal);
    if (limit) spend(limit, request, principal.id, response);
    if (kind === 'heavy') this.enter(principal.id, response);
  }

  private limitFor(kind: 'decisions' | 'writes' | 'heavy', { role }: Principal): Limit | undefined {
    if (kind !== 'writes') return this[kind];
    return role === 'agent' || role === 'gateway' ? this.writes[role] : this.writes.others;
  }

  private enter(id: string, response: Response): void {
    const running = this.running.get(id) ?? 0;
    if (this.heavyAtOnce > 0 && running >= this.heavyAtOnce) {
      const detail = `${running} heavy requests of this principal are under way, the most that are allowed at one time. Wait for an answer.`;
      throw new BrainError('too_many', 'rate_limited', detail);
    }
    this.running.set(id, running + 1);
    response.once('close', () => {
      const left = (this.running.get(id) ?? 1) - 1;
      if (left > 0) this.running.set(id, left);
      else this.running.delete(id);
    });
  }
}

function limitOf(name: string, perSecond: number): Limit | undefined {
  if (perSecond === 0) return undefined;
  const buckets = new TokenBuckets(perSecond, perSecond * BURST_SECONDS);
  return { name, buckets, policy: `"${name}";q=${buckets.capacity};w=${BURST_SECONDS}` };
}

function spend(
  { name, buckets, policy }: Limit,
  request: PrincipalRequest,
  id: string,
  response: Response,
): void {
  const waitSeconds = buckets.take(id);
  response.setHeader('RateLimit-Policy', policy);
  response.setHeader(
    'RateLimit',
    `"${name}";r=${buckets.left(id)};t=${Math.ceil(buckets.secondsToFull(id))}`,
  );
  if (waitSeconds > 0) {
    const detail = `This principal has sent too many requests of the class ${name}: ${buckets.perSecond} a second are allowed, and ${buckets.capacity} at once. Send fewer; the header RateLimit says how many are left.`;
    throw new BrainError('too_many', 'rate_limited', detail, { retryAfterSeconds: Math.ceil(waitSeconds) });
  }
  request.charge = (more) => buckets.charge(id, more);
}

function sheddingLoad(): BrainError {
  const detail =
    'This replica is overloaded, so it answers no heavy requests until it has recovered. Decisions and writes go on. Try again later, or on another replica.';
  return new BrainError('too_many', 'shedding_load', detail, { retryAfterSeconds: 5 });
}
