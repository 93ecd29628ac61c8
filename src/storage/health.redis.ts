/** What Redis says about itself, and which of it an operator must hear. */
import { isBrainError } from '../shared/errors.js';
import type { StoreHealth } from './store.js';

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

export async function healthOf(send: Send): Promise<StoreHealth> {
  try {
    await send('ping', []);
  } catch (error) {
    if (!isBrainError(error)) throw error;
    return { ok: false, code: error.code, detail: error.detail, warnings: [] };
  }
  const info = await infoOf(send);
  const warnings = warningsOf(info).map((warning) => `Redis: ${warning}`);
  if (info.role === 'slave' && info.slave_read_only !== '0') {
    const detail = 'Redis is a read-only replica; point the settings to the master, or promote this one.';
    return { ok: false, code: 'store_read_only', detail, warnings };
  }
  return { ok: true, warnings };
}

async function infoOf(send: Send): Promise<RedisInfo> {
  try {
    return readInfo(String(await send('info', [])));
  } catch {
    return {};
  }
}
