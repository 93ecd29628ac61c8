import { BrainError } from '../shared/errors.js';

export function noSuchPolicy(id: string): BrainError {
  const detail = `There is no policy ${id.slice(0, 128)}; GET /api/policy/policies lists them.`;
  return new BrainError('not_found', 'policy_not_found', detail);
}

export function noSuchRule(policyId: string, ruleId: string): BrainError {
  const detail = `The policy ${policyId} has no rule ${ruleId.slice(0, 128)}.`;
  return new BrainError('not_found', 'rule_not_found', detail);
}

export function noSuchRevision(policyId: string, revision: number): BrainError {
  const detail = `The policy ${policyId.slice(0, 128)} has no revision ${revision}; GET /api/policy/policies/${policyId.slice(0, 128)}/revisions lists those that are kept.`;
  return new BrainError('not_found', 'revision_not_found', detail);
}

export function policyExists(id: string): BrainError {
  const detail = `There is a policy ${id} already; change it with PUT, or choose another policy_id.`;
  return new BrainError('conflict', 'policy_exists', detail);
}

export function ruleExists(policyId: string, ruleId: string): BrainError {
  const detail = `The policy ${policyId} has a rule ${ruleId} already; change it with PUT, or choose another rule_id.`;
  return new BrainError('conflict', 'rule_exists', detail);
}

export function tooManyPolicies(most: number): BrainError {
  const detail = `There may be at most ${most} policies; put more rules into fewer, or delete some.`;
  return new BrainError('conflict', 'too_many_policies', detail);
}

export function changedMeanwhile(): BrainError {
  const detail =
    'The policies were changed while they were replaced; nothing was changed by this request. Try again.';
  return new BrainError('unavailable', 'policies_changed', detail, { retryAfterSeconds: 1 });
}

export function notRead(): BrainError {
  const detail = 'The policies were not read yet, so nothing can be decided; try again in a moment.';
  return new BrainError('unavailable', 'policies_unknown', detail, { retryAfterSeconds: 1 });
}

export function stalePolicies(): BrainError {
  const detail = 'The store has been away for too long to know whether the policies still hold; try again.';
  return new BrainError('unavailable', 'policies_stale', detail, { retryAfterSeconds: 1 });
}

export function revisionNotReached(wanted: number, revision: number): BrainError {
  const detail = `This replica is at revision ${revision} of the policies, not yet at ${wanted}; try again.`;
  return new BrainError('unavailable', 'revision_not_reached', detail, { retryAfterSeconds: 1 });
}

export function notRecorded(): BrainError {
  const detail =
    'The decision could not be recorded in time, and BRAIN_DECISIONS=durable demands it; try again.';
  return new BrainError('unavailable', 'decision_not_recorded', detail, { retryAfterSeconds: 1 });
}

export function denied(decision: { reason: string }): BrainError {
  return new BrainError('forbidden', 'denied_by_policy', `${decision.reason}.`, { members: { decision } });
}
