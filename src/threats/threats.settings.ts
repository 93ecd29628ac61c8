import { allow, defineSettings } from '../config/config.js';

export const THREATS_SETTINGS = defineSettings('Threats', {
  BRAIN_THREATS_RETENTION_DAYS: {
    about: 'How long closed threats are kept',
    fallback: '90',
    parse: allow.days,
  },
});
