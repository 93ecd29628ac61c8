/** The starter packs in `policies/`: they have no faults, each rule has a sentence, and each decides as its sentence says. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { LIMITS, requestOf } from '../../../test/support/policies.js';
import { atOnce } from '../../shared/time-slices.js';
import { checkPolicy } from '../engine/check.js';
import { compile } from '../engine/compile.js';
import { decide } from '../engine/decide.js';
import { DEFAULT_POLICIES } from '../engine/defaults.js';
import { contentOf, type PolicyInput } from '../engine/normalize.js';
import type { EvaluateRequest, PolicyContent } from '../engine/policy.dto.js';
import { unreachableRules } from '../engine/unreachable-rules.js';
import { warningsInSlices } from '../engine/warnings.js';

const FOLDER = resolve(__dirname, '../../../policies');

function packOf(file: string): PolicyInput[] {
  return (parse(readFileSync(join(FOLDER, file), 'utf8')) as { policies: PolicyInput[] }).policies;
}

const files = readdirSync(FOLDER);
const packs = new Map(files.map((file): [string, PolicyContent[]] => [file, packOf(file).map(contentOf)]));

type Example = [rule: string | null, request: Partial<EvaluateRequest>];

const production = { stage: 'production', weekday: 'tue', change_freeze: false };
const tested = { failed_tests: 0, approved_by: 'ada' };
const personal = { action: 'read', resource: 'personal:customers', agent_role: 'support' };

const EXAMPLES: Record<string, Example[]> = {
  'production-deployment.yaml': [
    [
      'deploy_with_approval',
      { action: 'deploy.web', agent_role: 'deployer', environment: production, params: tested },
    ],
    [
      null,
      { action: 'deploy', agent_role: 'deployer', environment: production, params: { failed_tests: 0 } },
    ],
    [null, { action: 'deployment_report', agent_role: 'deployer', environment: production, params: tested }],
    [
      'no_deploy_in_freeze',
      { action: 'deploy', environment: { ...production, change_freeze: true }, params: tested },
    ],
    ['no_deploy_with_failed_tests', { action: 'deploy', agent_role: 'deployer', environment: production }],
    [
      'no_deploy_before_weekend',
      {
        action: 'deploy',
        agent_role: 'deployer',
        environment: { ...production, weekday: 'fri' },
        params: tested,
      },
    ],
    [
      'audit_emergency_fix',
      {
        action: 'deploy.hotfix',
        agent_role: 'incident_commander',
        environment: { ...production, weekday: 'sun' },
        params: { failed_tests: 0, incident: 'INC-42' },
      },
    ],
    ['deploy_elsewhere', { action: 'deploy', agent_role: 'deployer', environment: { stage: 'staging' } }],
  ],
  'personal-data.yaml': [
    ['read_single_records', { ...personal, params: { purpose: 'support', rows: 1 } }],
    ['warn_of_many_records', { ...personal, params: { purpose: 'support', rows: 50 } }],
    [null, { ...personal, params: { purpose: 'support', rows: 1000 } }],
    [null, { ...personal, params: { purpose: 'support' } }],
    ['no_use_without_purpose', { ...personal, params: { rows: 1 } }],
    [
      'no_special_categories',
      { ...personal, resource: 'personal:health', params: { purpose: 'support', rows: 1 } },
    ],
    ['no_transfer_out_of_region', { ...personal, action: 'export', params: { purpose: 'legal_request' } }],
    [
      'audit_export',
      {
        ...personal,
        action: 'export',
        agent_role: 'data_steward',
        environment: { region: 'eu' },
        params: { purpose: 'legal_request' },
      },
    ],
    [
      'audit_erasure',
      { ...personal, action: 'delete', agent_role: 'data_steward', params: { purpose: 'erasure' } },
    ],
  ],
  'guest-read-only.yaml': [
    ['guest_write_deny', { agent_role: 'guest', action: 'doc.read.delete' }],
    ['guest_read_allow', { agent_role: 'guest', action: 'doc.read' }],
    [null, { agent_role: 'guest', action: 'doc.read.Delete' }],
    [null, { agent_role: 'reader', action: 'doc.read' }],
  ],
  'resource-limits.yaml': [
    ['model_call', { action: 'model.call', params: { tokens: 1000 } }],
    ['warn_of_large_model_call', { action: 'model.call', params: { tokens: 100_000 } }],
    [null, { action: 'model.call', params: { tokens: 1_000_000 } }],
    [null, { action: 'model.call' }],
    [
      'no_spending_over_budget',
      { action: 'model.call', params: { tokens: 1 }, environment: { budget_left_cents: 0 } },
    ],
    ['no_large_purchase', { action: 'purchase', params: { cost_cents: 50_001 } }],
    ['small_machines', { action: 'compute.start', params: { processors: 4, minutes: 60 } }],
    [null, { action: 'compute.start', params: { processors: 32, minutes: 60 } }],
    [
      'audit_large_machines',
      { action: 'compute.start', agent_role: 'researcher', params: { processors: 32, minutes: 60 } },
    ],
    [
      'requests_to_known_hosts',
      {
        action: 'http.request',
        resource: 'https://api.example.org/v1',
        params: { method: 'GET', max_bytes: 1000 },
      },
    ],
    [
      null,
      {
        action: 'http.request',
        resource: 'https://example.org.evil/',
        params: { method: 'GET', max_bytes: 1000 },
      },
    ],
  ],
};

it('the starter packs are four, each with examples', () => {
  expect(Object.keys(EXAMPLES).sort()).toEqual([...files].sort());
});

it('one of the starter packs is the policy for guests of a new installation', () => {
  expect(packs.get('guest-read-only.yaml')).toEqual([
    DEFAULT_POLICIES.find(({ policy_id }) => policy_id === 'guest_read_only'),
  ]);
});

describe.each(files)('%s', (file) => {
  const policies = packs.get(file) ?? [];

  it('has no faults and no warnings', () => {
    expect(packOf(file).flatMap((policy) => checkPolicy(policy, { limits: LIMITS }))).toEqual([]);
    expect(policies.flatMap((policy) => atOnce(warningsInSlices(policy, '')))).toEqual([]);
  });

  it('has a description for each rule', () => {
    const sentences = policies.flatMap(({ description, rules }) => [
      description,
      ...rules.map((rule) => rule.description),
    ]);
    for (const sentence of sentences) expect(sentence).toMatch(/^[A-Z].+[.?]$/);
  });

  it.each(EXAMPLES[file] ?? [])('decides by %s: %j', (rule, request) => {
    expect(decide(compile(policies), requestOf(request)).matched_rule).toBe(rule);
  });

  it('has an example for each rule', () => {
    const decided = EXAMPLES[file].map(([rule]) => rule).filter((rule) => rule !== null);
    expect(policies.flatMap(({ rules }) => rules.map(({ rule_id }) => rule_id)).sort()).toEqual(
      decided.sort(),
    );
  });
});

it('all starter packs can be active together', () => {
  expect(unreachableRules([...packs.values()].flat())).toEqual([]);
});
