import { allow, defineSettings } from '../config/config.js';

const PER_SECOND =
  'in a second, on each replica, and five times as many in a burst; further ones are 429; 0 is no limit';
const rate = allow.integer(0, 1_000_000);

export const RATE_SETTINGS = defineSettings('Limits of requests', {
  BRAIN_RATE_DECISIONS: {
    about: `How many decisions one principal may ask for ${PER_SECOND}`,
    fallback: '0',
    parse: rate,
  },
  BRAIN_RATE_WRITES: {
    about: `How many requests that change something one principal may send ${PER_SECOND}. For roles other than agent and gateway`,
    fallback: '200',
    parse: rate,
  },
  BRAIN_RATE_WRITES_AGENT: { about: 'The same for the role agent', fallback: '20', parse: rate },
  BRAIN_RATE_WRITES_GATEWAY: { about: 'The same for the role gateway', fallback: '0', parse: rate },
  BRAIN_RATE_HEAVY: {
    about: `How many heavy requests one principal may send ${PER_SECOND}: \`test-rule\`, \`explain=true\`, import, export, and lists by several filters`,
    fallback: '20',
    parse: rate,
  },
  BRAIN_RATE_HEAVY_AT_ONCE: {
    about:
      'How many heavy requests of one principal a replica serves at one time; further ones are 429; 0 is no limit',
    fallback: '8',
    parse: allow.integer(0, 10_000),
  },
});
