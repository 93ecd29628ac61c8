import { allow, type Config, defineSettings, settingsIn } from '../config/config.js';
import type { PolicyLimits } from './engine/check.js';

export const POLICY_SETTINGS = defineSettings('Policy', {
  BRAIN_POLICY_MAX_RULES: {
    about: 'The most rules of all policies together',
    fallback: '10000',
    parse: allow.integer(1, 100_000),
  },
  BRAIN_POLICY_MAX_RULES_PER_POLICY: {
    about: 'The most rules of one policy',
    fallback: '1000',
    parse: allow.integer(1, 100_000),
  },
  BRAIN_POLICY_MAX_CONDITIONS: {
    about: 'The most conditions of one rule',
    fallback: '64',
    parse: allow.integer(1, 1000),
  },
  BRAIN_POLICY_MAX_PATTERN: {
    about: 'The most characters of a regular expression in a condition',
    fallback: '512',
    parse: allow.integer(1, 4096),
  },
  BRAIN_DECISIONS_RECORDED_PER_MINUTE: {
    about:
      'How many decisions of one principal a replica records one by one in a minute; further ones are summed up in events, and with `BRAIN_DECISIONS=durable` they are refused with 429; 0 is no limit',
    fallback: '60000',
    parse: allow.integer(0, 1_000_000_000),
  },
  BRAIN_POLICY_REVISIONS_RETENTION_DAYS: {
    about: 'How long the revisions of policies are kept; the last one of each policy stays',
    fallback: '365',
    parse: allow.days,
  },
});

export function policyLimits(config: Config): PolicyLimits {
  const settings = settingsIn(config, POLICY_SETTINGS);
  return {
    rules: settings.BRAIN_POLICY_MAX_RULES,
    rulesPerPolicy: settings.BRAIN_POLICY_MAX_RULES_PER_POLICY,
    conditionsPerRule: settings.BRAIN_POLICY_MAX_CONDITIONS,
    patternCharacters: settings.BRAIN_POLICY_MAX_PATTERN,
  };
}
