import { conditionOf, policyOf } from '../../../test/support/policies.js';
import { atOnce } from '../../shared/time-slices.js';
import { DEFAULT_POLICIES } from './defaults.js';
import type { Effect } from './effects.js';
import type { Condition } from './policy.dto.js';
import { warningsInSlices } from './warnings.js';

function warningsOf(effect: Effect, ...conditions: [string, Condition['operator'], unknown][]): string[] {
  const policy = policyOf({ rules: [{ rule_id: 'r', effect, conditions: conditions.map(conditionOf) }] });
  return atOnce(warningsInSlices(policy, '/policies/3')).map(({ pointer, code }) => `${pointer} ${code}`);
}

const of = (path: string): string => `\${${path}}`;
const AT = '/policies/3/rules/0/conditions/0/value';

describe('a write warns', () => {
  it.each(['delete', '(delete|drop)', 'a\\.\\*', '[.*^$]delete', '\\^delete', 'x.y'])(
    'about a deny rule with the pattern %s, which has no anchor and no .*',
    (pattern) => {
      expect(warningsOf('deny', ['action', 'matches', pattern])).toEqual([`${AT} anchored_deny`]);
    },
  );

  it.each(['^delete', 'delete$', '.*delete', 'doc\\..*', '(?:a|.+)delete', '\\Adelete', 'delete\\z'])(
    'not about a deny rule with the pattern %s',
    (pattern) => {
      expect(warningsOf('deny', ['action', 'matches', pattern])).toEqual([]);
    },
  );

  it('not about other effects and other operators', () => {
    expect(warningsOf('allow', ['action', 'matches', 'delete'])).toEqual([]);
    expect(warningsOf('deny', ['action', 'search', 'delete'])).toEqual([]);
    expect(warningsOf('deny', ['action', 'starts_with', 'delete'])).toEqual([]);
  });

  it.each([of('agent_id'), `user:${of('agent.id')}/x`, ['a', of('action')], { a: [of('b')] }])(
    'about %j, because nothing fills it in',
    (value) => {
      expect(warningsOf('allow', ['params.owner', '==', value])).toEqual([`${AT} template_literal`]);
    },
  );

  it('not about other texts with these characters', () => {
    expect(warningsOf('allow', ['params.x', '==', '$ {a}'], ['params.y', '==', '${'])).toEqual([]);
  });

  it('about at most fifty conditions of a policy, and not about the default policies', () => {
    const conditions = Array.from({ length: 60 }, (): [string, 'matches', string] => [
      'action',
      'matches',
      'd',
    ]);
    expect(warningsOf('deny', ...conditions)).toHaveLength(50);
    expect(DEFAULT_POLICIES.flatMap((policy) => atOnce(warningsInSlices(policy, '')))).toEqual([]);
  });
});
