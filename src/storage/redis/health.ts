/** The health of Redis, and the warnings for its operator. */
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

/** Empty if Redis hides these values, as managed servers do. */
export function warningsOf(info: RedisInfo): string[] {
  const warnings: string[] = [];
  const policy = info.maxmemory_policy;
  if (policy !== undefined && policy !== 'noeviction') {
    warnings.push(
      `maxmemory-policy is ${policy}: a full Redis then deletes documents, indexes and events. ` +
        'Set it to noeviction.',
    );
  }
  const version = info.redis_version;
  if (version !== undefined && Number.parseInt(version, 10) < 7) {
    warnings.push(`version ${version} is too old: the scripts need 7.0 or newer. Upgrade Redis.`);
  }
  return warnings;
}

type Send = (name: string, args: string[]) => Promise<unknown>;

/** Redis is away, and may take writes when it is back. It does not refuse them. */
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
  // Decisions and removals still work, and no other replica of the service could do more. So this replica stays ready.
  if (code === 'storage_full') return { ok: true, warnings: [`${code}: ${detail}`, ...warnings] };
  return { ok: false, refusesWrites: !AWAY.has(code), code, detail, warnings };
}

async function awayOf(send: Send): Promise<BrainError | undefined> {
  try {
    await send('ping', []);
    return undefined;
  } catch (error) {
    if (!isBrainError(error)) throw error;
    // A Redis that cannot save refuses even PING, but it is reachable.
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
