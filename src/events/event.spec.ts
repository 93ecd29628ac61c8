import { defineEvent, typeFilter } from './event.js';
import { streamGap } from './log.events.js';

describe('type filters', () => {
  const matches = (patterns: string[], type: string): boolean => typeFilter(patterns)(type);

  it.each([
    [[], 'threat.detected', true],
    [['*'], 'threat.detected', true],
    [['threat.detected'], 'threat.detected', true],
    [['threat.detected'], 'threat.escalated', false],
    [['threat.*'], 'threat.detected', true],
    [['threat.*'], 'threats.detected', false],
    [['threat.*'], 'threat.a.b', false],
    [['*.detected'], 'threat.detected', true],
    [['*.event_published'], 'immune.event_published', true],
    [['policy.evaluated'], 'policy.rule_evaluated', true],
    [['policy.denied'], 'policy.action_denied', true],
    [['immune.critical_issue_detected'], 'immune.critical_event', true],
    [['threat.*', 'policy.denied'], 'policy.action_denied', true],
    [['threat'], 'threat.detected', false],
  ] as const)('%j on %s: %s', (patterns, type, wanted) => {
    expect(matches([...patterns], type)).toBe(wanted);
  });
});

it('refuses two definitions of one type', () => {
  const again = () => defineEvent({ ...streamGap, subjects: [], of: (gap: never) => gap });
  expect(again).toThrow('defined twice');
});
