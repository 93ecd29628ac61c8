import { BrainError } from '../shared/errors.js';

export function noSuchPolicy(id: string): BrainError {
  const detail = `The policy ${id.slice(0, 128)} does not exist; GET /api/policy/policies lists all policies.`;
  return new BrainError('not_found', 'policy_not_found', detail);
}

export function noSuchRule(policyId: string, ruleId: string): BrainError {
  const detail = `The policy ${policyId} has no rule ${ruleId.slice(0, 128)}; GET /api/policy/policies/${policyId} lists its rules.`;
  return new BrainError('not_found', 'rule_not_found', detail);
}

export function noSuchRevision(policyId: string, revision: number): BrainError {
  const detail = `The policy ${policyId.slice(0, 128)} has no revision ${revision}; GET /api/policy/policies/${policyId.slice(0, 128)}/revisions lists the stored revisions.`;
  return new BrainError('not_found', 'revision_not_found', detail);
}

export function policyExists(id: string): BrainError {
  const detail = `The policy ${id} exists already; change it with PUT, or choose another policy_id.`;
  return new BrainError('conflict', 'policy_exists', detail);
}

export function ruleExists(policyId: string, ruleId: string): BrainError {
  const detail = `The policy ${policyId} has a rule ${ruleId} already; change it with PUT, or choose another rule_id.`;
  return new BrainError('conflict', 'rule_exists', detail);
}

export function tooManyPolicies(most: number): BrainError {
  const detail = `There are ${most} policies already, the most that are allowed; delete some, or put the rules into an existing policy.`;
  return new BrainError('conflict', 'too_many_policies', detail);
}

export function changedDuringImport(): BrainError {
  const detail =
    'Other writes changed the policies during the import, so nothing was imported; try again in a second.';
  return new BrainError('unavailable', 'policies_changed', detail, { retryAfterSeconds: 1 });
}

export function notRead(): BrainError {
  const detail = 'This replica has not read the policies yet, so it cannot decide; try again in a second.';
  return new BrainError('unavailable', 'policies_unknown', detail, { retryAfterSeconds: 1 });
}

export function stalePolicies(): BrainError {
  const detail =
    'The policies in memory are too old to decide by. Check the connection to the store; once it works, try again in a second.';
  return new BrainError('unavailable', 'policies_stale', detail, { retryAfterSeconds: 1 });
}

export function revisionNotReached(wanted: number, revision: number): BrainError {
  const detail = `This replica has revision ${revision} of the policies, and not yet ${wanted}; try again in a second, and check min_revision.`;
  return new BrainError('unavailable', 'revision_not_reached', detail, { retryAfterSeconds: 1 });
}

/** Nobody reads this answer. */
export function callerGone(): BrainError {
  const detail = 'The caller has closed the connection, so the work was stopped.';
  return new BrainError('unavailable', 'caller_gone', detail);
}

export function notRecorded(): BrainError {
  const detail =
    'The decision was not written to the event log in time, which BRAIN_DECISIONS=durable requires. Try again in a second; if it lasts, check the store.';
  return new BrainError('unavailable', 'decision_not_recorded', detail, { retryAfterSeconds: 1 });
}

export function tooManyDecisions(waitSeconds: number): BrainError {
  const detail =
    'This principal has asked for more decisions than BRAIN_DECISIONS_RECORDED_PER_MINUTE, and BRAIN_DECISIONS=durable requires that each one is recorded. Ask more slowly.';
  return new BrainError('too_many', 'too_many_decisions', detail, {
    retryAfterSeconds: Math.ceil(waitSeconds),
  });
}

export function denied(decision: { reason: string }): BrainError {
  const detail = `${decision.reason}. Ask for a policy that allows it; ?explain=true shows why.`;
  return new BrainError('forbidden', 'denied_by_policy', detail, { members: { decision } });
}
