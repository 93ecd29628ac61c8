/** The cases in `testdata/`: each has a sentence, policies, a request and the expected decision. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import {
  comparisonOf,
  conditionOf,
  type PolicySketch,
  policyOf,
  requestOf,
} from '../../../test/support/policies.js';
import { compile } from './compile.js';
import { decide } from './decide.js';
import { DEFAULT_POLICIES } from './defaults.js';
import type { Condition, EvaluateRequest, Verdict } from './policy.dto.js';

interface Case {
  it: string;
  request?: Partial<EvaluateRequest>;
  policies?: PolicySketch[] | 'defaults';
  want?: Partial<Verdict>;
  if?: [string, Condition['operator'], unknown];
  compare?: [string, Condition['operator'], string];
  holds?: boolean;
}

const FOLDER = join(__dirname, 'testdata');
const files = readdirSync(FOLDER).map((file) => ({
  file,
  cases: parse(readFileSync(join(FOLDER, file), 'utf8')) as Case[],
}));

function policiesOf({ if: only, compare, policies = [] }: Case): ReturnType<typeof policyOf>[] {
  if (only) return [policyOf({ rules: [{ rule_id: 'r', conditions: [conditionOf(only)] }] })];
  if (compare) return [policyOf({ rules: [{ rule_id: 'r', conditions: [comparisonOf(compare)] }] })];
  return policies === 'defaults' ? [...DEFAULT_POLICIES] : policies.map(policyOf);
}

function wantOf({ holds, want = {} }: Case): Partial<Verdict> {
  if (holds !== undefined) return { allowed: holds, matched_rule: holds ? 'r' : null };
  return want;
}

it('has at least 120 cases, each with its own sentence', () => {
  const sentences = files.flatMap(({ cases }) => cases.map((one) => one.it));
  expect(sentences.length).toBeGreaterThanOrEqual(120);
  expect(new Set(sentences).size).toBe(sentences.length);
});

describe.each(files)('$file', ({ cases }) => {
  it.each(cases)('$it', (one) => {
    const verdict: Verdict = decide(compile(policiesOf(one)), requestOf(one.request));
    const { errors, ...want } = wantOf(one);
    expect(verdict).toMatchObject(want);
    // A case without `errors` expects none, unless it only expects that nothing is allowed.
    if (errors) expect(verdict.errors).toEqual(errors);
    else if (one.if || one.compare || errors === null) expect(verdict).not.toHaveProperty('errors');
  });
});
