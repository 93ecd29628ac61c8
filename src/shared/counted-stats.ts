/** Computes the statistics of a collection from its counters. It uses the same template as the statistics for other programs. */
import { nowSeconds } from './clock.js';

type Value = { counter: string } | { sum: string; count: string; scale: number } | { now: true };
interface Template {
  [field: string]: Value | Template;
}

export function countedStats(template: Template, counts: Record<string, number>): object {
  const fields = Object.entries(template).map(([field, value]) => [field, statOf(value, counts)]);
  return Object.fromEntries(fields) as object;
}

function statOf(value: Value | Template, counts: Record<string, number>): unknown {
  if (isCounter(value)) return counts[value.counter] ?? 0;
  if (isMean(value)) {
    const count = counts[value.count] ?? 0;
    return count === 0 ? null : (counts[value.sum] ?? 0) / count / value.scale;
  }
  if ('now' in value && value.now === true) return nowSeconds();
  return countedStats(value as Template, counts);
}

function isCounter(value: Value | Template): value is { counter: string } {
  return 'counter' in value && typeof value.counter === 'string';
}

function isMean(value: Value | Template): value is { sum: string; count: string; scale: number } {
  return 'sum' in value && typeof value.sum === 'string';
}
