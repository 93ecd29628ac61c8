/** The translation of AuthZEN bodies, without a service. */
import fc from 'fast-check';
import { checksOf } from '../../shared/class-schema.js';
import { fieldFaults } from '../../shared/shapes.js';
import { expectSameEntities } from '../decisions/entities.js';
import type { Decision } from '../decisions/routes.dto.js';
import { EvaluateRequest } from '../engine/policy.dto.js';
import { answersOf, isFaulty, isSingle, readEvaluation, readEvaluations, requestsOf } from './authzen.js';

const BODY = {
  subject: { type: 'agent', id: 'researcher-7', properties: { role: 'researcher', team: 'a' } },
  action: { name: 'database.read', properties: { rows: 100 } },
  resource: { type: 'database', id: 'customers:eu', properties: { region: 'eu' } },
  context: { stage: 'production' },
};

const decisionOf = (allowed: boolean): Decision => ({
  decision_id: 'd',
  allowed,
  effect: allowed ? 'allow' : 'deny',
  matched_rule: null,
  matched_policy: null,
  reason: 'r',
  warnings: [],
  requires_audit: false,
  policy_revision: 1,
});

describe('an evaluation', () => {
  it('becomes a request for a decision, member by member', () => {
    expect(readEvaluation(BODY)).toEqual({
      agent_id: 'researcher-7',
      agent_role: 'researcher',
      action: 'database.read',
      resource: 'database:customers:eu',
      environment: { stage: 'production', subject: BODY.subject, resource: BODY.resource },
      params: { rows: 100 },
    });
  });

  it('has no role if the subject has none, and ignores unknown members', () => {
    const body = {
      subject: { type: 'user', id: 'u', role: 'admin', new: 1 },
      action: { name: 'a', params: { rows: 1 } },
      resource: { type: 't', id: 'i', owner: 'u' },
      environment: { stage: 'x' },
    };
    expect(readEvaluation(body)).toEqual({
      agent_id: 'u',
      action: 'a',
      resource: 't:i',
      environment: {
        subject: { type: 'user', id: 'u', properties: {} },
        resource: { type: 't', id: 'i', properties: {} },
      },
      params: {},
    });
  });

  it('reports all its faults at once, each with its pointer', () => {
    const faults = readEvaluation({
      subject: { type: '', properties: { role: 7 } },
      action: { name: 'x'.repeat(257), properties: 'none' },
      context: [],
    });
    const pointers = (faults as { pointer: string }[]).map(({ pointer }) => pointer);
    expect(pointers).toEqual([
      '/subject/type',
      '/subject/id',
      '/subject/properties/role',
      '/action/name',
      '/action/properties',
      '/resource',
      '/context',
    ]);
  });

  it('becomes a valid request or is refused, for any body', () => {
    const name = fc.constantFrom('type', 'id', 'name', 'properties', 'role', 'toString');
    const member = fc.oneof(
      fc.string(),
      fc.constant('x'),
      fc.jsonValue(),
      fc.dictionary(name, fc.jsonValue()),
    );
    const entity = fc.oneof({ weight: 4, arbitrary: fc.dictionary(name, member) }, fc.jsonValue());
    const [subject, action, resource] = [BODY.subject, BODY.action, BODY.resource].map((good) =>
      fc.oneof(fc.constant(good), entity),
    );
    const bodies = fc.oneof(fc.record({ subject, action, resource, context: entity }), fc.jsonValue());
    // Two levels deeper than a request may be: the entities are at that depth.
    const fields = checksOf(EvaluateRequest).filter((field) => field.name !== 'environment');
    fc.assert(
      fc.property(bodies, (body) => {
        const reading = readEvaluation(body);
        const faults: unknown[] = [];
        if (!isFaulty(reading)) fieldFaults({ ...reading }, fields, '', faults as never);
        if (!isFaulty(reading)) expectSameEntities(reading);
        expect(faults).toEqual([]);
        const batch = readEvaluations({ evaluations: [body, BODY] });
        if (isFaulty(batch)) throw new Error('one evaluation has made the others unreadable');
        expect([isFaulty(batch.readings[0]), batch.readings.length]).toEqual([isFaulty(reading), 2]);
      }),
    );
  });
});

describe('several evaluations', () => {
  it('are treated as one evaluation if the list is missing or empty', () => {
    expect([{}, { evaluations: [] }, 'x', null].map(isSingle)).toEqual([true, true, true, true]);
    expect([{ evaluations: [{}] }, { evaluations: null }].map(isSingle)).toEqual([false, false]);
  });

  it('use a default member or replace it, and never merge the two', () => {
    const batch = readEvaluations({
      ...BODY,
      evaluations: [{}, { subject: { type: 'user', id: 'u' }, context: {} }],
    });
    if (isFaulty(batch)) throw new Error('unreadable');
    const [first, second] = requestsOf(batch);
    expect(first).toEqual(readEvaluation(BODY));
    expect(second).toEqual(readEvaluation({ ...BODY, subject: { type: 'user', id: 'u' }, context: {} }));
    expect(second).not.toHaveProperty('agent_role');
  });

  it('are not read after a fault that stops all of them', () => {
    const of = (semantic: string): number[] => {
      const evaluations = [{}, 'x', {}];
      const batch = readEvaluations({ ...BODY, evaluations, options: { evaluations_semantic: semantic } });
      if (isFaulty(batch)) throw new Error('unreadable');
      const requests = requestsOf(batch);
      const answers = answersOf(
        batch,
        requests.map(() => decisionOf(true)),
      ).evaluations;
      return [requests.length, answers.length];
    };
    expect(of('execute_all')).toEqual([2, 3]);
    expect(of('deny_on_first_deny')).toEqual([1, 2]);
    expect(of('permit_on_first_permit')).toEqual([2, 1]);
  });
});
