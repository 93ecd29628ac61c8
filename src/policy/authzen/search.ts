/** Reads the bodies of AuthZEN searches, and cuts their results into pages. */
import { type Fault, faulty } from '../../shared/errors.js';
import { sha256 } from '../../shared/ids.js';
import { type Members, membersOf } from '../../shared/shapes.js';
import type { EvaluateRequest } from '../engine/policy.dto.js';
import { isFaulty, readEvaluation } from './authzen.js';
import type { Searched } from './candidates.js';
import type { AuthzenPage } from './search.dto.js';

/** The most results on a page, and the most ids that one search looks at. */
export const MAX_IDS = 1000;
/** Stands for the id that is searched for, so that a search is read like an evaluation. */
const ANY = 'any';

export interface Search {
  /** The request, with any id. */
  template: EvaluateRequest;
  limit: number;
  /** The last id of the page before. */
  after: string | undefined;
  /** What must be the same for all pages. */
  digest: string;
}

/** @throws all faults of the body */
export function readSearch(body: unknown, searched: Searched): Search {
  const members = membersOf(body);
  if (!members) throw faulty([fault('', 'must be a JSON object')]);
  const { page, ...entities } = members;
  const complete = searched === 'action' ? { name: ANY } : withAnyId(entities[searched]);
  const reading = readEvaluation({ ...entities, [searched]: complete });
  const faults = isFaulty(reading) ? reading : [];
  const { subject, action, resource, context } = entities;
  const digest = sha256(JSON.stringify([searched, subject, action, resource, context]));
  const paging = readPage(page, digest, faults);
  if (isFaulty(reading) || faults.length > 0) throw faulty(faults);
  return { template: reading, digest, ...paging };
}

/** @param ids all ids that may act, sorted */
export function pageOf({ limit, after, digest }: Search, ids: readonly string[]): [string[], AuthzenPage] {
  const start = after === undefined ? 0 : ids.findIndex((id) => id > after);
  const left = start < 0 ? [] : ids.slice(start);
  const shown = left.slice(0, limit);
  const isLast = shown.length === left.length;
  const token = JSON.stringify([shown.at(-1) ?? after ?? '', limit, digest]);
  const next_token = isLast ? '' : Buffer.from(token).toString('base64url');
  return [shown, { next_token, count: shown.length, total: ids.length }];
}

/** The specification demands that an id is ignored here. */
function withAnyId(entity: unknown): unknown {
  const members = membersOf(entity);
  return members ? { ...members, id: ANY } : entity;
}

function readPage(page: unknown, digest: string, faults: Fault[]): Pick<Search, 'limit' | 'after'> {
  const first = { limit: MAX_IDS, after: undefined };
  if (page === undefined) return first;
  const members = membersOf(page);
  if (!members) {
    faults.push(fault('/page', 'must be a JSON object'));
    return first;
  }
  const { limit } = members;
  if (limit !== undefined && !(Number.isSafeInteger(limit) && (limit as number) >= 0)) {
    faults.push(fault('/page/limit', 'must be a whole number from 0'));
    return first;
  }
  return (
    readToken(members, digest, faults) ?? { ...first, limit: Math.min(Number(limit ?? MAX_IDS), MAX_IDS) }
  );
}

/** The token has the limit: a client may leave it out in later requests, but not change it. */
function readToken(
  { token, limit }: Members,
  digest: string,
  faults: Fault[],
): Pick<Search, 'limit' | 'after'> | undefined {
  if (token === undefined || token === '') return undefined;
  const read = typeof token === 'string' ? tokenIn(token) : undefined;
  if (
    !read ||
    read[2] !== digest ||
    (limit !== undefined && Math.min(limit as number, MAX_IDS) !== read[1])
  ) {
    const detail = 'must be the next_token of an answer to the same search, with the same limit';
    faults.push(fault('/page/token', detail));
    return undefined;
  }
  return { after: read[0], limit: read[1] };
}

function tokenIn(token: string): [after: string, limit: number, digest: string] | undefined {
  try {
    const read = JSON.parse(Buffer.from(token, 'base64url').toString('utf8')) as unknown;
    if (!Array.isArray(read) || typeof read[0] !== 'string') return undefined;
    const [after, limit, digest] = read as unknown[];
    const isLimit = Number.isSafeInteger(limit) && (limit as number) >= 0 && (limit as number) <= MAX_IDS;
    return isLimit ? [after as string, limit as number, String(digest)] : undefined;
  } catch {
    return undefined;
  }
}

function fault(pointer: string, detail: string): Fault {
  return { pointer, detail, code: 'search' };
}
