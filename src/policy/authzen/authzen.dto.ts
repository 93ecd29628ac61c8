/** The bodies of OpenID AuthZEN Authorization API 1.0. Unknown members are ignored, as the specification demands. */
import { OmitType, PartialType } from '@nestjs/swagger';
import { Described, Flag, JsonObject, ListOf, Nested, Num, OneOf, Text } from '../../shared/fields.js';
import { Decision } from '../decisions/routes.dto.js';

const Properties = (description: string, example: object): PropertyDecorator =>
  JsonObject({ exact: true, optional: true, description, example });

@Described('Who wants to act')
export class AuthzenSubject {
  @Text({
    max: 256,
    description: 'The type of the subject; conditions read it as `environment.subject.type`',
    example: 'agent',
  })
  type!: string;

  @Text({
    max: 256,
    description: 'The id of the subject; conditions read it as `agent_id`',
    example: 'researcher-7',
  })
  id!: string;

  @Properties(
    'Properties of the subject. Conditions read `role` as `agent_role`, and all of them as `environment.subject.properties.<path>`',
    {
      role: 'researcher',
    },
  )
  properties?: Record<string, unknown>;
}

@Described('What the subject wants to do')
export class AuthzenAction {
  @Text({
    max: 256,
    description: 'The name of the action; conditions read it as `action`',
    example: 'database.read',
  })
  name!: string;

  @Properties('Properties of the action; conditions read them as `params.<path>`', { rows: 100 })
  properties?: Record<string, unknown>;
}

/** The limits of type and id add up, with the colon, to the limit of `resource` in a request. */
@Described('What the subject wants to act on')
export class AuthzenResource {
  @Text({
    max: 256,
    description: 'The type of the resource; conditions read `type:id` as `resource`',
    example: 'database',
  })
  type!: string;

  @Text({ max: 767, description: 'The id of the resource, unique within its type', example: 'customers' })
  id!: string;

  @Properties(
    'Properties of the resource; conditions read them as `environment.resource.properties.<path>`',
    { region: 'eu' },
  )
  properties?: Record<string, unknown>;
}

const SUBJECT = { type: 'agent', id: 'researcher-7', properties: { role: 'researcher' } };
const ACTION = { name: 'database.read', properties: { rows: 100 } };
const RESOURCE = { type: 'database', id: 'customers', properties: { region: 'eu' } };

export const Context = (): PropertyDecorator =>
  JsonObject({
    exact: true,
    optional: true,
    description:
      'The circumstances; conditions read them as `environment.<path>`. At most 100 members if evaluations share it',
    example: { stage: 'production' },
  });

@Described('A single evaluation')
export class AuthzenRequest {
  @Nested(() => AuthzenSubject, { description: 'Who wants to act', example: SUBJECT })
  subject!: AuthzenSubject;

  @Nested(() => AuthzenAction, { description: 'What the subject wants to do', example: ACTION })
  action!: AuthzenAction;

  @Nested(() => AuthzenResource, { description: 'What the subject wants to act on', example: RESOURCE })
  resource!: AuthzenResource;

  @Context()
  context?: Record<string, unknown>;
}

@Described('One of several evaluations. The members of the body are its defaults')
export class AuthzenEvaluation {
  @Nested(() => AuthzenSubject, { optional: true, description: 'Who wants to act', example: SUBJECT })
  subject?: AuthzenSubject;

  @Nested(() => AuthzenAction, {
    optional: true,
    description: 'What the subject wants to do',
    example: ACTION,
  })
  action?: AuthzenAction;

  @Nested(() => AuthzenResource, {
    optional: true,
    description: 'What the subject wants to act on',
    example: RESOURCE,
  })
  resource?: AuthzenResource;

  @Context()
  context?: Record<string, unknown>;
}

export const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
export type Semantic = (typeof SEMANTICS)[number];

@Described('How several evaluations are carried out')
export class AuthzenOptions {
  @OneOf(SEMANTICS, {
    name: 'AuthzenSemantic',
    optional: true,
    default: 'execute_all',
    description:
      'Whether all evaluations are decided, or only those up to the first denial or the first permit',
  })
  evaluations_semantic?: Semantic;
}

/** The members beside `evaluations` are defaults. An evaluation overrides a default as a whole, never parts of it. */
@Described('Several evaluations, and the defaults of their members')
export class AuthzenRequests extends AuthzenEvaluation {
  @ListOf(() => AuthzenEvaluation, {
    optional: true,
    description:
      'At most 1,000 evaluations. `subject`, `action`, `resource` and `context` of the body are their defaults. Without evaluations the body is a single evaluation',
    example: [{ resource: RESOURCE }, { resource: { type: 'database', id: 'orders' } }],
  })
  evaluations?: AuthzenEvaluation[];

  @Nested(() => AuthzenOptions, {
    optional: true,
    description: 'How the evaluations are decided',
    example: { evaluations_semantic: 'execute_all' },
  })
  options?: AuthzenOptions;
}

const MESSAGE = '/evaluations/1/resource is required and must be a JSON object';

@Described('Why an evaluation could not be read')
class AuthzenError {
  @Num({ integer: true, description: 'Always 400', example: 400 })
  status!: number;

  @Text({ max: 4096, description: 'The faults, each with its place in the body', example: MESSAGE })
  message!: string;
}

const OMITTED = ['allowed', 'matched_rule', 'matched_policy', 'explain'] as const;

@Described('The rest of the decision, or why there is none')
class AuthzenContext extends PartialType(OmitType(Decision, OMITTED)) {
  @Text({
    max: 64,
    optional: true,
    description: 'The rule that decided. Absent when no rule matched',
    example: 'guest_read_allow',
  })
  matched_rule?: string;

  @Text({
    max: 64,
    optional: true,
    description: 'The policy of that rule. Absent when no rule matched',
    example: 'guest_read_only',
  })
  matched_policy?: string;

  @Nested(() => AuthzenError, {
    optional: true,
    description: 'Why this one of several evaluations is invalid. It is denied, and has no other members',
    example: { status: 400, message: MESSAGE },
  })
  error?: AuthzenError;
}

@Described('The answer to one evaluation')
export class AuthzenDecision {
  @Flag({ description: 'Whether the subject may act', example: true })
  decision!: boolean;

  @Nested(() => AuthzenContext, {
    optional: true,
    description: 'The details of the decision. Absent with `context=none`',
  })
  context?: AuthzenContext;
}

export class AuthzenQuery {
  @OneOf(['full', 'none'] as const, {
    name: 'AuthzenContextForm',
    optional: true,
    default: 'full',
    description: '`none` leaves `context` out of all decisions, also out of those of invalid evaluations',
  })
  context: 'full' | 'none' = 'full';
}

@Described('The answers to several evaluations, in the same order')
export class AuthzenDecisions {
  @ListOf(() => AuthzenDecision, {
    description: 'The decisions in the order of the evaluations; fewer if the semantic ended them early',
  })
  evaluations!: AuthzenDecision[];
}

@Described('What this decision point offers, and where')
export class AuthzenMetadata {
  @Text({
    max: 1024,
    format: 'uri',
    description: 'The base URL of the service',
    example: 'https://brain.example.com',
  })
  policy_decision_point!: string;

  @Text({
    max: 1024,
    format: 'uri',
    description: 'The URL for one evaluation',
    example: 'https://brain.example.com/access/v1/evaluation',
  })
  access_evaluation_endpoint!: string;

  @Text({
    max: 1024,
    format: 'uri',
    description: 'The URL for many evaluations',
    example: 'https://brain.example.com/access/v1/evaluations',
  })
  access_evaluations_endpoint!: string;

  @Text({
    max: 1024,
    format: 'uri',
    description: 'The URL of the search for subjects',
    example: 'https://brain.example.com/access/v1/search/subject',
  })
  search_subject_endpoint!: string;

  @Text({
    max: 1024,
    format: 'uri',
    description: 'The URL of the search for actions',
    example: 'https://brain.example.com/access/v1/search/action',
  })
  search_action_endpoint!: string;

  @Text({
    max: 1024,
    format: 'uri',
    description: 'The URL of the search for resources',
    example: 'https://brain.example.com/access/v1/search/resource',
  })
  search_resource_endpoint!: string;
}
