import { allow, defineSettings } from '../config/config.js';

export const IMMUNE_SETTINGS = defineSettings('Immune', {
  BRAIN_IMMUNE_RETENTION_DAYS: {
    about: 'How long immune events are kept',
    fallback: '90',
    parse: allow.days,
  },
  BRAIN_IMMUNE_MAX_EVENTS: {
    about:
      'The most immune events that are kept; beyond it the oldest are removed first, those of the last day only after everything else if they are CRITICAL',
    fallback: '500000',
    parse: allow.integer(1000, 1_000_000_000),
  },
  BRAIN_IMMUNE_MAX_META_KIB: {
    about: 'The most `meta` of one report, in KiB of JSON; `0` switches this off',
    fallback: '32',
    parse: allow.integer(0, 256),
  },
  BRAIN_IMMUNE_DEGRADED_WARNINGS: {
    about: 'The fleet is degraded if the window has more WARNING events than this',
    fallback: '10',
    parse: allow.integer(0, 1_000_000_000),
  },
  BRAIN_IMMUNE_DEGRADED_SHARE: {
    about:
      'The fleet is degraded if a larger share of the INFO and WARNING events than this is WARNING; `1` switches this off',
    fallback: '0.5',
    parse: allow.number(0, 1),
  },
});
