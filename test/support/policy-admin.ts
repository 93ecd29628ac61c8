/** Requests that write policies. */
import type { Policy } from '../../src/policy/engine/policy.dto.js';
import type { Service } from './service.js';
import { type StartStore, serviceOn } from './stores.js';

/** The route of policies. */
export const BASE = '/api/policy/policies';
export const never = { field: 'action', operator: '==', value: 'never' } as const;
/** A rule that matches nothing, unless `more` says otherwise. */
export const ruleBody = (rule_id: string, more: object = {}) => ({
  rule_id,
  name: rule_id,
  effect: 'deny',
  conditions: [never],
  ...more,
});

export type Fault = { pointer: string; code: string };

/** The pointer and the code of each fault in an answer, sorted. */
export const faultsIn = ({ body }: { body: { errors?: Fault[] } }): [string, string][] =>
  (body.errors ?? []).map(({ pointer, code }): [string, string] => [pointer, code]).sort();

export const revisionOf = ({ headers }: { headers: Record<string, string> }): number =>
  Number(headers['policy-revision']);

/** A service for the tests of this block, and the requests to it. */
export function policiesOn(startStore: StartStore) {
  const service = serviceOn(startStore);
  const make = async (policy_id: string, over: object = {}) =>
    service.post(BASE, { policy_id, name: policy_id, ...over }).expect(201);
  const setRevision = async (): Promise<number> =>
    (await service.post('/api/policy/test-rule', { agent_id: 'a', action: 'b' }).expect(200)).body
      .policy_revision as number;
  const typesOf = async (policyId: string): Promise<string[]> =>
    (await service.events({ subject: policyId })).map(({ type }) => type);
  const importYaml = (text: string, query = '') =>
    service.post(`/api/policy/import${query}`).set('Content-Type', 'application/yaml').send(text);
  return { service, make, setRevision, typesOf, importYaml };
}

/** Counts every policy over HTTP and compares the count with the statistics. */
export async function expectTrueCounts(service: Service): Promise<void> {
  const { policies, total } = (await service.get(`${BASE}?limit=500`).expect(200)).body as {
    policies: Policy[];
    total: number;
  };
  expect(policies).toHaveLength(total);
  expect((await service.get('/api/policy/stats').expect(200)).body).toMatchObject({
    total_policies: total,
    active_policies: policies.filter(({ enabled }) => enabled).length,
    total_rules: policies.reduce((sum, { rules }) => sum + rules.length, 0),
  });
}
