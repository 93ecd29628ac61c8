import { allow, defineSettings } from '../config/config.js';

export const IMMUNE_SETTINGS = defineSettings('Immune', {
  BRAIN_IMMUNE_RETENTION_DAYS: {
    about: 'How long immune events are kept',
    fallback: '90',
    parse: allow.days,
  },
  BRAIN_IMMUNE_MAX_EVENTS: {
    about: 'The most immune events that are kept; beyond it the oldest are removed first',
    fallback: '500000',
    parse: allow.integer(1000, 1_000_000_000),
  },
  BRAIN_IMMUNE_DEGRADED_WARNINGS: {
    about: 'With more WARNING events than this in the window the fleet is degraded',
    fallback: '10',
    parse: allow.integer(0, 1_000_000_000),
  },
  BRAIN_IMMUNE_DEGRADED_SHARE: {
    about:
      'With a larger part of WARNING events than this the fleet is degraded; `1` leaves it to their number',
    fallback: '0.5',
    parse: allow.number(0, 1),
  },
});
