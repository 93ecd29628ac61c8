/** Requests for decisions, and a policy whose rules have every effect. */
import type { Envelope } from '../../src/events/event.js';
import type { Decision } from '../../src/policy/decisions/routes.dto.js';
import type { PolicyContent } from '../../src/policy/engine/policy.dto.js';
import { policyOf } from './policies.js';
import type { Service } from './service.js';
import { type StartStore, serviceOn } from './stores.js';

/** One rule for each effect, each on its own action. */
export const effects: PolicyContent = policyOf({
  policy_id: 'effects',
  name: 'Effects',
  rules: [
    {
      rule_id: 'allow_read',
      name: 'May read',
      effect: 'allow',
      conditions: [{ field: 'action', operator: '==', value: 'doc.read' }],
    },
    {
      rule_id: 'deny_drop',
      name: 'May not drop',
      effect: 'deny',
      priority: 500,
      conditions: [
        { field: 'action', operator: '==', value: 'doc.drop' },
        { field: 'environment.stage', operator: '==', value: 'production' },
      ],
    },
    {
      rule_id: 'warn_copy',
      name: 'Copying',
      description: 'Copies grow old.',
      effect: 'warn',
      conditions: [{ field: 'action', operator: '==', value: 'doc.copy' }],
    },
    {
      rule_id: 'audit_send',
      name: 'Sending',
      effect: 'audit',
      conditions: [{ field: 'action', operator: '==', value: 'doc.send' }],
    },
  ],
});

export const production = { stage: 'production' };
/** The statistics of decisions. */
export async function decisionStats(service: Service): Promise<Record<string, number>> {
  return (await service.get('/api/policy/stats').expect(200)).body as Record<string, number>;
}

/** A service for the tests of this block that decides by the policy above, and the requests to it. */
export function decisionsOn(startStore: StartStore) {
  const service = serviceOn(startStore, { BRAIN_MASK: '/params/card,/environment/secret' });
  beforeAll(() => service.post('/api/policy/policies', effects).expect(201));
  let agents = 0;
  /** A new agent, so that all its events belong to one test. */
  const newAgent = (): string => `agent-${++agents}`;
  const evaluate = async (body: object, query = ''): Promise<Decision> =>
    (await service.post(`/api/policy/evaluate${query}`, body).expect(200)).body as Decision;
  const eventsOf = (subject: string): Promise<(Envelope & { position: string })[]> =>
    service.events({ subject });
  return { service, newAgent, evaluate, eventsOf };
}
