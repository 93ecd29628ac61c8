/** Two collections for the tests of the store. */
import type { Collection } from '../store.js';

export interface Item {
  id: string;
  state: string;
  kind: string;
  at: number;
  tag: string | null;
  n: number;
}

export const ITEMS: Collection<Item> = {
  name: 'items',
  item: 'item',
  version: 1,
  indexVersion: 1,
  id: (item) => item.id,
  order: (item) => item.at,
  unique: { tag: (item) => item.tag },
  indexes: {
    state: (item) => item.state,
    kind: (item) => item.kind,
    due: (item) => (item.state === 'open' ? { value: 'due', order: item.n } : null),
  },
  countedRanges: { kind: 100 },
  counts: (item) => ({ [`by_state.${item.state}`]: 1, sum: item.n }),
  stats: {
    total: { counter: 'total' },
    by_state: { open: { counter: 'by_state.open' }, shut: { counter: 'by_state.shut' } },
    mean: { sum: 'sum', count: 'total', scale: 1 },
    last_updated: { now: true },
  },
};

export const NOTES: Collection<{ id: string; n: number }> = {
  name: 'notes',
  item: 'note',
  version: 1,
  indexVersion: 1,
  id: (note) => note.id,
  order: (note) => note.n,
};

export function item(id: string, over: Partial<Item> = {}): Item {
  return { id, state: 'open', kind: 'a', at: 1, tag: null, n: 0, ...over };
}
