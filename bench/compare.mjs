/**
 * Compares two servers. The rounds alternate, and only the quotient of two neighbouring rounds counts, because other work of
 * the machine slows both of them. Reports the median of the quotients, with the extremes.
 */
import { cpuSeconds } from './processes.mjs';

const CONNECTIONS = 50;
const WARM_UP_MS = 3000;
const ROUND_MS = 2000;
const ROUNDS = 7;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function round({ load }, { server, request, status = 200 }, { connections = CONNECTIONS, ms }) {
  const before = cpuSeconds(server);
  const result = await load({ url: server.url, request, connections, ms, status });
  return { ...result, cpuUs: ((cpuSeconds(server) - before) * 1e6) / result.requests };
}

/** `ours` and `theirs` are `{ server, request, status }`. A ratio above 1 means that ours answers more requests. */
export async function compare(client, ours, theirs, { rounds = ROUNDS, ms = ROUND_MS, connections } = {}) {
  for (const side of [ours, theirs]) await round(client, side, { connections, ms: WARM_UP_MS });
  const pairs = [];
  for (let i = 0; i < rounds; i += 1) {
    // The order changes, so that a machine that becomes slower affects both in the same way.
    const order = i % 2 === 0 ? [ours, theirs] : [theirs, ours];
    const results = new Map();
    for (const side of order) results.set(side, await round(client, side, { connections, ms }));
    pairs.push({ ours: results.get(ours), theirs: results.get(theirs) });
  }
  const ratios = pairs.map((pair) => pair.ours.perSecond / pair.theirs.perSecond);
  const of = (side, what) => median(pairs.map((pair) => pair[side][what]));
  const side = (name) => ({
    perSecond: of(name, 'perSecond'),
    p50Ms: of(name, 'p50Ms'),
    p99Ms: of(name, 'p99Ms'),
    cpuUs: of(name, 'cpuUs'),
  });
  return {
    ratio: median(ratios),
    least: Math.min(...ratios),
    most: Math.max(...ratios),
    ours: side('ours'),
    theirs: side('theirs'),
  };
}
