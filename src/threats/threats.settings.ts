import { allow, defineSettings } from '../config/config.js';

export const THREATS_SETTINGS = defineSettings('Threats', {
  BRAIN_THREATS_RETENTION_DAYS: {
    about: 'How long closed threats are kept',
    fallback: '90',
    parse: allow.days,
  },
  BRAIN_THREATS_MAX_METADATA_KIB: {
    about: 'The most `metadata` of one report, in KiB of JSON; `0` switches this off',
    fallback: '32',
    parse: allow.integer(0, 256),
  },
  BRAIN_THREATS_MAX_OPEN: {
    about: 'The most open threats of one reporter; `0` switches this off',
    fallback: '10000',
    parse: allow.integer(0, 1_000_000_000),
  },
});
