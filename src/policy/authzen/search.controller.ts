/** The searches of OpenID AuthZEN Authorization API 1.0, answered from the rules and from the agents that keys name. */
import { applyDecorators, Controller, HttpCode, Post, Req } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';
import { ForeignAgent, IgnoresUnknownMembers, OnlyBadRequests, Problems } from '../../http/request.js';
import { Access, CurrentPrincipal } from '../../security/access.decorator.js';
import { asAgent, KnownAgents, type Principal, permits, speaksFor } from '../../security/principal.js';
import { isOfService } from '../../shared/id-list.js';
import { membersOf } from '../../shared/shapes.js';
import { inSlices } from '../../shared/time-slices.js';
import { PolicyService } from '../decisions/policy.service.js';
import type { EvaluateRequest } from '../engine/policy.dto.js';
import { type Finding, findIds, type Searched } from './candidates.js';
import { jsonOf } from './json-body.js';
import {
  AuthzenActionSearch,
  AuthzenActions,
  type AuthzenPage,
  AuthzenResourceSearch,
  AuthzenResources,
  type AuthzenSearchContext,
  AuthzenSubjectSearch,
  AuthzenSubjects,
} from './search.dto.js';
import { MAX_IDS, pageOf, readSearch } from './search.js';

/** A search with the most expensive patterns could take minutes. */
const MAX_MS = 500;

interface Found {
  template: EvaluateRequest;
  ids: string[];
  answer: { page: AuthzenPage; context: AuthzenSearchContext };
}

const Searches = (body: new () => object, answer: new () => object): MethodDecorator =>
  applyDecorators(
    HttpCode(200),
    Access('policy:read', 'heavy'),
    IgnoresUnknownMembers(),
    ApiBody({ type: body }),
    ApiOkResponse({ type: answer, description: 'What was found' }),
    Problems(400, 413),
    ForeignAgent(),
  );

@ApiTags('authzen')
@Controller('access/v1/search')
@OnlyBadRequests()
export class AuthzenSearchController {
  constructor(
    private readonly policy: PolicyService,
    private readonly agents: KnownAgents,
  ) {}

  @Post('subject')
  @Searches(AuthzenSubjectSearch, AuthzenSubjects)
  @ApiOperation({
    operationId: 'authzen_searchSubjects',
    summary: 'Search for subjects',
    description:
      'The subjects that may do this: of those that rules and keys name. An agent finds only subjects for which its key may speak.',
  })
  async subjects(
    @Req() request: Request,
    @CurrentPrincipal() principal: Principal,
  ): Promise<AuthzenSubjects> {
    const { template, ids, answer } = await this.find(request, principal, 'subject');
    return { ...answer, results: ids.map((id) => ({ type: typeIn(template, 'subject'), id })) };
  }

  @Post('resource')
  @Searches(AuthzenResourceSearch, AuthzenResources)
  @ApiOperation({
    operationId: 'authzen_searchResources',
    summary: 'Search for resources',
    description: 'The resources on which the subject may do this: of those that rules name.',
  })
  async resources(
    @Req() request: Request,
    @CurrentPrincipal() principal: Principal,
  ): Promise<AuthzenResources> {
    const { template, ids, answer } = await this.find(request, principal, 'resource');
    return { ...answer, results: ids.map((id) => ({ type: typeIn(template, 'resource'), id })) };
  }

  @Post('action')
  @Searches(AuthzenActionSearch, AuthzenActions)
  @ApiOperation({
    operationId: 'authzen_searchActions',
    summary: 'Search for actions',
    description: 'The actions that the subject may do on the resource: of those that rules name.',
  })
  async actions(@Req() request: Request, @CurrentPrincipal() principal: Principal): Promise<AuthzenActions> {
    const { ids, answer } = await this.find(request, principal, 'action');
    return { ...answer, results: ids.map((name) => ({ name })) };
  }

  private async find(request: Request, principal: Principal, searched: Searched): Promise<Found> {
    const search = readSearch(jsonOf(request), searched);
    const template = asSearcher(principal, search.template, searched);
    const { snapshot, stale } = this.policy.policies();
    const endMs = performance.now() + MAX_MS;
    const { ids, reasons } = await inSlices(
      findIds({
        ...{ snapshot, template, searched, maxIds: MAX_IDS },
        ...this.limitsOf(principal, searched),
        isLate: () => performance.now() > endMs,
      }),
    );
    const [shown, page] = pageOf(search, ids);
    const context: AuthzenSearchContext = {
      complete: reasons.length === 0,
      policy_revision: snapshot.revision,
    };
    if (reasons.length > 0) context.reasons = reasons;
    if (stale) context.stale = true;
    return { template, ids: shown, answer: { page, context } };
  }

  /** Which subjects a principal may find. Resources and actions are in the rules, which it may read. */
  private limitsOf(
    principal: Principal,
    searched: Searched,
  ): Pick<Finding, 'known' | 'mayName' | 'knowsAll'> {
    if (searched !== 'subject') return { known: new Set(), mayName: () => true, knowsAll: false };
    if (!isLimited(principal)) {
      const known = this.agents.exactAgents(MAX_IDS + 1);
      return { known, mayName: (id) => !isOfService(id), knowsAll: false };
    }
    const { entries } = principal.agents;
    const exact = entries.filter((entry) => !entry.endsWith('*'));
    return {
      known: new Set([principal.id, ...exact]),
      mayName: (id) => speaksFor(principal, id),
      knowsAll: exact.length === entries.length,
    };
  }
}

/** Who reads the event log sees all agents and their decisions there. */
function isLimited({ role }: Principal): boolean {
  return !permits(role, 'events:read');
}

function asSearcher(principal: Principal, template: EvaluateRequest, searched: Searched): EvaluateRequest {
  if (!isLimited(principal)) return template;
  // A search for subjects asks about those that it may find. Its own id stands for them here.
  return asAgent(principal, searched === 'subject' ? { ...template, agent_id: principal.id } : template);
}

function typeIn({ environment }: EvaluateRequest, entity: 'subject' | 'resource'): string {
  return String(membersOf(environment?.[entity])?.type);
}
