import { allow, defineSettings } from '../config/config.js';
import { AllowedHosts } from './steps/allowed-hosts.js';

export const MISSIONS_SETTINGS = defineSettings('Missions', {
  BRAIN_MISSIONS_CONCURRENCY: {
    about: 'How many missions a replica runs at one time',
    fallback: '10',
    parse: allow.integer(1, 1000),
  },
  BRAIN_MISSIONS_AGENT_SHARE: {
    about:
      'The most slots of a replica that missions started by one agent hold, in percent of `BRAIN_MISSIONS_CONCURRENCY`, rounded up; `0` for no limit',
    fallback: '50',
    parse: allow.integer(0, 100),
  },
  BRAIN_MISSIONS_MAX_PENDING: {
    about: 'The most PENDING missions that one principal may have when it makes another; `0` for no limit',
    fallback: '1000',
    parse: allow.integer(0, 1_000_000_000),
  },
  BRAIN_MISSIONS_PENDING_DAYS: {
    about:
      'After how many days without a change a PENDING mission that is not due is cancelled; `0` for never',
    fallback: '30',
    parse: allow.number(0, 36_500),
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
  BRAIN_HTTP_ALLOW_HOSTS: {
    about:
      'The hosts to which the requests of missions may go, such as `api.example.com,*.example.org:8443`; by default all public ones',
    parse: AllowedHosts.parse,
  },
  BRAIN_HTTP_ALLOW_PRIVATE: {
    about: '`true` lets the requests of missions go to private addresses, this machine included',
    fallback: 'false',
    parse: (text) => allow.oneOf('true', 'false')(text) === 'true',
  },
});
