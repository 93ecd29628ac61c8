import { allow, defineSettings } from '../config/config.js';

export const MISSIONS_SETTINGS = defineSettings('Missions', {
  BRAIN_MISSIONS_CONCURRENCY: {
    about: 'How many missions a replica runs at one time',
    fallback: '10',
    parse: allow.integer(1, 1000),
  },
  BRAIN_MISSIONS_LEASE_SECONDS: {
    about: 'How long a worker that no longer answers keeps its missions, before other workers continue them',
    fallback: '30',
    parse: allow.integer(3, 600),
  },
  BRAIN_MISSIONS_POLICY: {
    about:
      '`enforce` asks the policies before each step, `observe` only logs what they would refuse, `off` does not ask them',
    fallback: 'enforce',
    parse: allow.oneOf('enforce', 'observe', 'off'),
  },
  BRAIN_MISSIONS_RETENTION_DAYS: {
    about: 'How long ended missions are kept, with their logs',
    fallback: '90',
    parse: allow.days,
  },
  BRAIN_HTTP_ALLOW_PRIVATE: {
    about: '`true` lets the requests of missions go to private addresses, this machine included',
    fallback: 'false',
    parse: (text) => allow.oneOf('true', 'false')(text) === 'true',
  },
});
