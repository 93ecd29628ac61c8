/** What Redis says about itself, and which of it an operator must hear. */
import { type BrainError, isBrainError } from '../../shared/errors.js';
import type { StoreHealth } from '../store.js';
import type { WriteCheck } from '../write-check.js';

export type RedisInfo = Record<string, string>;

export function readInfo(text: string): RedisInfo {
  const info: RedisInfo = {};
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) info[line.slice(0, colon)] = line.slice(colon + 1);
  }
  return info;
}

/** Nothing where Redis keeps it to itself, as managed ones do. */
export function warningsOf(info: RedisInfo): string[] {
  const warnings: string[] = [];
  const policy = info.maxmemory_policy;
  if (policy !== undefined && policy !== 'noeviction') {
    warnings.push(
      `maxmemory-policy is ${policy}: when Redis is full it throws away documents, indexes and events. ` +
        'Set it to noeviction.',
    );
  }
  const version = info.redis_version;
  if (version !== undefined && Number.parseInt(version, 10) < 7) {
    warnings.push(`version ${version} is too old: the scripts need 7.0 or newer. Upgrade it.`);
  }
  return warnings;
}

type Send = (name: string, args: string[]) => Promise<unknown>;

/** It may take writes when it answers again; until then it is away rather than refusing. */
const AWAY = new Set([
  'store_unreachable',
  'store_timeout',
  'store_loading',
  'store_busy',
  'index_rebuilding',
]);

export async function healthOf(send: Send, writes: WriteCheck): Promise<StoreHealth> {
  const [away, info, refusal] = await Promise.all([awayOf(send), infoOf(send), writes.refusal()]);
  if (away) return { ok: false, code: away.code, detail: away.detail, warnings: [] };
  const warnings = warningsOf(info).map((warning) => `Redis: ${warning}`);
  if (!refusal) return { ok: true, warnings };
  const { code, detail } = refusal;
  // Decisions go on, and so does what removes; and no replica of the service could do the rest in place of this one.
  if (code === 'storage_full') return { ok: true, warnings: [`${code}: ${detail}`, ...warnings] };
  return { ok: false, refusesWrites: !AWAY.has(code), code, detail, warnings };
}

async function awayOf(send: Send): Promise<BrainError | undefined> {
  try {
    await send('ping', []);
    return undefined;
  } catch (error) {
    if (!isBrainError(error)) throw error;
    // A Redis that cannot save refuses even this, and is there.
    return error.code === 'store_not_persisting' ? undefined : error;
  }
}

async function infoOf(send: Send): Promise<RedisInfo> {
  try {
    return readInfo(String(await send('info', [])));
  } catch {
    return {};
  }
}
