/** The bodies of AuthZEN searches. Unknown members are ignored, as the specification demands. */
import { Count, Described, Flag, JsonObject, ListOf, Nested, Num, Text, Texts } from '../../shared/fields.js';
import { AuthzenAction, AuthzenResource, AuthzenSubject, Context } from './authzen.dto.js';

const SUBJECT = { type: 'agent', id: 'researcher-7' };
const ACTION = { name: 'database.read' };
const RESOURCE = { type: 'database', id: 'customers' };

@Described('Which part of the results the answer has')
export class AuthzenPageRequest {
  @Text({
    max: 4096,
    min: 0,
    optional: true,
    description: 'The `next_token` of the answer before. Everything else in the body must be the same',
    example: '',
  })
  token?: string;

  @Num({
    integer: true,
    min: 0,
    optional: true,
    description: 'The most results in one answer; at most 1,000',
    example: 100,
  })
  limit?: number;
}

class AuthzenSearch {
  @Context()
  context?: Record<string, unknown>;

  @Nested(() => AuthzenPageRequest, {
    optional: true,
    description: 'Which part of the results the answer has; by default the first 1,000',
    example: { limit: 100 },
  })
  page?: AuthzenPageRequest;
}

const TypeOf = (what: string, example: string): PropertyDecorator =>
  Text({ max: 256, description: `The type of the ${what} that are searched for`, example });
const PropertiesOf = (what: string, example: object): PropertyDecorator =>
  JsonObject({
    exact: true,
    optional: true,
    description: `Properties that all these ${what} are taken to have`,
    example,
  });

@Described('A subject of which only the type is known')
export class AuthzenSubjectType {
  @TypeOf('subjects', 'agent') type!: string;
  @PropertiesOf('subjects', { role: 'researcher' }) properties?: Record<string, unknown>;
}

@Described('A resource of which only the type is known')
export class AuthzenResourceType {
  @TypeOf('resources', 'database') type!: string;
  @PropertiesOf('resources', { region: 'eu' }) properties?: Record<string, unknown>;
}

const Subject = (): PropertyDecorator =>
  Nested(() => AuthzenSubject, { description: 'Who wants to act', example: SUBJECT });
const Action = (): PropertyDecorator =>
  Nested(() => AuthzenAction, { description: 'What the subject wants to do', example: ACTION });
const Resource = (): PropertyDecorator =>
  Nested(() => AuthzenResource, { description: 'What the subject wants to act on', example: RESOURCE });

@Described('A search for subjects')
export class AuthzenSubjectSearch extends AuthzenSearch {
  @Nested(() => AuthzenSubjectType, { description: 'The type of subject', example: { type: 'agent' } })
  subject!: AuthzenSubjectType;

  @Action() action!: AuthzenAction;
  @Resource() resource!: AuthzenResource;
}

@Described('A search for resources')
export class AuthzenResourceSearch extends AuthzenSearch {
  @Subject() subject!: AuthzenSubject;
  @Action() action!: AuthzenAction;

  @Nested(() => AuthzenResourceType, { description: 'The type of resource', example: { type: 'database' } })
  resource!: AuthzenResourceType;
}

@Described('A search for actions')
export class AuthzenActionSearch extends AuthzenSearch {
  @Subject() subject!: AuthzenSubject;
  @Resource() resource!: AuthzenResource;
}

@Described('Where the answer is in the results')
export class AuthzenPage {
  @Text({ max: 4096, min: 0, description: 'The `token` of the next request; empty at the end', example: '' })
  next_token!: string;

  @Count('The number of results in this answer', 1)
  count!: number;

  @Count('The number of results on all pages', 1)
  total!: number;
}

@Described('How far the results can be relied on')
export class AuthzenSearchContext {
  @Flag({
    description:
      'Whether everything that is not in the results is denied, for the properties in the request. False if rules may allow what they do not name, or if the search ended early',
    example: true,
  })
  complete!: boolean;

  @Texts({
    max: 1024,
    most: 12,
    optional: true,
    description: 'Why the results are not complete. Absent when they are',
    example: [],
  })
  reasons?: string[];

  @Num({ integer: true, description: 'The revision of the set of policies that was searched', example: 7 })
  policy_revision!: number;

  @Flag({
    optional: true,
    description: 'True if the policies may have changed more than a second ago. Absent otherwise',
    example: true,
  })
  stale?: boolean;
}

class AuthzenSearchAnswer {
  @Nested(() => AuthzenPage, { description: 'Where the answer is in the results' })
  page!: AuthzenPage;

  @Nested(() => AuthzenSearchContext, { description: 'How far the results can be relied on' })
  context!: AuthzenSearchContext;
}

@Described('A subject or a resource that was found')
export class AuthzenFoundEntity {
  @Text({ max: 256, description: 'Its type', example: 'database' })
  type!: string;

  @Text({ max: 767, description: 'Its id', example: 'customers' })
  id!: string;
}

@Described('An action that the subject may do')
export class AuthzenFoundAction {
  @Text({ max: 256, description: 'The name of the action', example: 'database.read' })
  name!: string;
}

@Described('The subjects that may act')
export class AuthzenSubjects extends AuthzenSearchAnswer {
  @ListOf(() => AuthzenFoundEntity, { description: 'The subjects, sorted by id' })
  results!: AuthzenFoundEntity[];
}

@Described('The resources on which the subject may act')
export class AuthzenResources extends AuthzenSearchAnswer {
  @ListOf(() => AuthzenFoundEntity, { description: 'The resources, sorted by id' })
  results!: AuthzenFoundEntity[];
}

@Described('The actions that the subject may do')
export class AuthzenActions extends AuthzenSearchAnswer {
  @ListOf(() => AuthzenFoundAction, { description: 'The actions, sorted by name' })
  results!: AuthzenFoundAction[];
}
