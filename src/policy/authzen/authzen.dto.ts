/** The bodies of OpenID AuthZEN Authorization API 1.0. Members that are not named here are passed over, as it demands. */
import { OmitType, PartialType } from '@nestjs/swagger';
import { Flag, JsonObject, ListOf, Nested, Num, OneOf, Text } from '../../shared/fields.js';
import { Decision } from '../decisions/routes.dto.js';

const Properties = (description: string, example: object): PropertyDecorator =>
  JsonObject({ optional: true, description, example });

export class AuthzenSubject {
  @Text({ max: 256, description: '`environment.subject.type` in conditions', example: 'agent' })
  type!: string;

  @Text({ max: 256, description: '`agent_id` in conditions', example: 'researcher-7' })
  id!: string;

  @Properties('`role` becomes `agent_role`; all of them are `environment.subject.properties`', {
    role: 'researcher',
  })
  properties?: Record<string, unknown>;
}

export class AuthzenAction {
  @Text({ max: 256, description: '`action` in conditions', example: 'database.read' })
  name!: string;

  @Properties('`params` in conditions', { rows: 100 })
  properties?: Record<string, unknown>;
}

/** Type, colon and id together are as long as a resource may be. */
export class AuthzenResource {
  @Text({
    max: 256,
    description: 'With the id, as `type:id`, the `resource` in conditions',
    example: 'database',
  })
  type!: string;

  @Text({ max: 767, example: 'customers' })
  id!: string;

  @Properties('`environment.resource.properties` in conditions', { region: 'eu' })
  properties?: Record<string, unknown>;
}

const SUBJECT = { type: 'agent', id: 'researcher-7', properties: { role: 'researcher' } };
const ACTION = { name: 'database.read', properties: { rows: 100 } };
const RESOURCE = { type: 'database', id: 'customers', properties: { region: 'eu' } };

const Context = (): PropertyDecorator =>
  JsonObject({
    optional: true,
    description: '`environment` in conditions; up to 100 members where evaluations share it',
    example: { stage: 'production' },
  });

export class AuthzenRequest {
  @Nested(() => AuthzenSubject, { example: SUBJECT })
  subject!: AuthzenSubject;

  @Nested(() => AuthzenAction, { example: ACTION })
  action!: AuthzenAction;

  @Nested(() => AuthzenResource, { example: RESOURCE })
  resource!: AuthzenResource;

  @Context()
  context?: Record<string, unknown>;
}

export class AuthzenEvaluation {
  @Nested(() => AuthzenSubject, { optional: true, example: SUBJECT })
  subject?: AuthzenSubject;

  @Nested(() => AuthzenAction, { optional: true, example: ACTION })
  action?: AuthzenAction;

  @Nested(() => AuthzenResource, { optional: true, example: RESOURCE })
  resource?: AuthzenResource;

  @Context()
  context?: Record<string, unknown>;
}

export const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
export type Semantic = (typeof SEMANTICS)[number];

export class AuthzenOptions {
  @OneOf(SEMANTICS, {
    name: 'AuthzenSemantic',
    optional: true,
    default: 'execute_all',
    description:
      'The other two end with the first denial or the first permit: what is behind it is not decided',
  })
  evaluations_semantic?: Semantic;
}

/** What stands beside `evaluations` is the default for each of them, member by member and each member as a whole. */
export class AuthzenRequests extends AuthzenEvaluation {
  @ListOf(() => AuthzenEvaluation, {
    optional: true,
    description: 'Up to 1,000; without any, the answer is that of a single evaluation',
    example: [{ resource: RESOURCE }, { resource: { type: 'database', id: 'orders' } }],
  })
  evaluations?: AuthzenEvaluation[];

  @Nested(() => AuthzenOptions, { optional: true, example: { evaluations_semantic: 'execute_all' } })
  options?: AuthzenOptions;
}

const MESSAGE = '/evaluations/1/resource is required and must be a JSON object';

class AuthzenError {
  @Num({ integer: true, example: 400 })
  status!: number;

  @Text({ max: 4096, example: MESSAGE })
  message!: string;
}

const NOT_THERE = ['allowed', 'matched_rule', 'matched_policy', 'explain'] as const;

class AuthzenContext extends PartialType(OmitType(Decision, NOT_THERE)) {
  @Text({ max: 64, optional: true, description: 'Left out where none matched', example: 'guest_read_allow' })
  matched_rule?: string;

  @Text({ max: 64, optional: true, description: 'Left out where none matched', example: 'guest_read_only' })
  matched_policy?: string;

  @Nested(() => AuthzenError, {
    optional: true,
    description: 'Alone, where one of several evaluations cannot be understood: it is denied by itself',
    example: { status: 400, message: MESSAGE },
  })
  error?: AuthzenError;
}

export class AuthzenDecision {
  @Flag({ example: true })
  decision!: boolean;

  @Nested(() => AuthzenContext)
  context!: AuthzenContext;
}

export class AuthzenDecisions {
  @ListOf(() => AuthzenDecision, { description: 'In the order of the evaluations' })
  evaluations!: AuthzenDecision[];
}

export class AuthzenMetadata {
  @Text({ max: 1024, format: 'uri', example: 'https://brain.example.com' })
  policy_decision_point!: string;

  @Text({ max: 1024, format: 'uri', example: 'https://brain.example.com/access/v1/evaluation' })
  access_evaluation_endpoint!: string;

  @Text({ max: 1024, format: 'uri', example: 'https://brain.example.com/access/v1/evaluations' })
  access_evaluations_endpoint!: string;
}
