/** In a file without decorators: the worker thread starts several times faster without the libraries of the DTOs. */

/** From the most cautious to the least cautious. Rules of the same priority decide in this order. */
export const EFFECTS = ['deny', 'audit', 'warn', 'allow'] as const;
export type Effect = (typeof EFFECTS)[number];
