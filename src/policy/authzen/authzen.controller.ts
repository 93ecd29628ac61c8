/** The routes of OpenID AuthZEN Authorization API 1.0. The decisions are the same as those of `/api/policy/evaluate`. */
import { Controller, Get, Header, HttpCode, Post, Query, Req } from '@nestjs/common';
import {
  ApiBody,
  ApiExtraModels,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
  getSchemaPath,
} from '@nestjs/swagger';
import type { Request } from 'express';
import {
  BodyOf,
  CallerGone,
  ForeignAgent,
  IgnoresUnknownMembers,
  OnlyBadRequests,
  Problems,
} from '../../http/request.js';
import { Access, Charge, CurrentPrincipal, Public } from '../../security/access.decorator.js';
import { asAgent, type Principal } from '../../security/principal.js';
import { BrainError, faulty } from '../../shared/errors.js';
import { PolicyService } from '../decisions/policy.service.js';
import {
  AuthzenDecision,
  AuthzenDecisions,
  AuthzenMetadata,
  AuthzenQuery,
  AuthzenRequest,
  AuthzenRequests,
} from './authzen.dto.js';
import {
  answerOf,
  answersOf,
  isFaulty,
  isLast,
  isSingle,
  type Reading,
  readEvaluation,
  readEvaluations,
  requestsOf,
} from './authzen.js';
import { jsonOf } from './json-body.js';

const MAX_MIB = 4;
const EVALUATION = 'access/v1/evaluation';
const EVALUATIONS = 'access/v1/evaluations';
const SEARCH = 'access/v1/search';
/** A host name or an address, with an optional port. The caller chooses it, and it becomes part of URLs in the answer. */
const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

@ApiTags('authzen')
@Controller()
@OnlyBadRequests()
export class AuthzenController {
  constructor(private readonly policy: PolicyService) {}

  @Get('.well-known/authzen-configuration')
  @Public()
  @Header('Cache-Control', 'private, max-age=3600')
  @ApiOperation({
    summary: 'Find the AuthZEN endpoints',
    description:
      'The URLs of the endpoints, with the host of the request. Behind a trusted proxy that is the host that the proxy reports.',
  })
  @ApiOkResponse({ type: AuthzenMetadata, description: 'The URLs' })
  @Problems(400)
  metadata(@Req() request: Request): AuthzenMetadata {
    const base = baseOf(request);
    return {
      policy_decision_point: base,
      access_evaluation_endpoint: `${base}/${EVALUATION}`,
      access_evaluations_endpoint: `${base}/${EVALUATIONS}`,
      search_subject_endpoint: `${base}/${SEARCH}/subject`,
      search_action_endpoint: `${base}/${SEARCH}/action`,
      search_resource_endpoint: `${base}/${SEARCH}/resource`,
    };
  }

  @Post(EVALUATION)
  @HttpCode(200)
  @Access('policy:evaluate', 'decision')
  @IgnoresUnknownMembers()
  @ApiOperation({
    summary: 'Decide one AuthZEN evaluation',
    description: 'Answers whether the subject may do this. A denial is an answer with status 200.',
  })
  @ApiBody({ type: AuthzenRequest })
  @ApiOkResponse({ type: AuthzenDecision, description: 'The decision' })
  @Problems(400, 413)
  @ForeignAgent()
  async evaluation(
    @Req() request: Request,
    @Query() { context }: AuthzenQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<AuthzenDecision> {
    const decision = await this.decide(readEvaluation(jsonOf(request)), principal);
    return context === 'none' ? bare(decision) : decision;
  }

  @Post(EVALUATIONS)
  @HttpCode(200)
  @Access('policy:evaluate', 'decision')
  @IgnoresUnknownMembers()
  @BodyOf({ maxMib: MAX_MIB })
  @ApiOperation({
    summary: 'Decide many AuthZEN evaluations',
    description:
      'Up to 1,000 evaluations: all of them, or up to the first denial or permit, as `options` says. Without `evaluations` it decides one evaluation.',
  })
  @ApiBody({ type: AuthzenRequests })
  @ApiExtraModels(AuthzenDecision, AuthzenDecisions)
  @ApiOkResponse({
    description: 'The decisions; a single decision if the body has no evaluations',
    schema: {
      oneOf: [AuthzenDecisions, AuthzenDecision].map((one) => ({ $ref: getSchemaPath(one) })),
      example: {
        evaluations: [{ decision: true, context: { reason: "Allowed by rule 'Guests may read'" } }],
      },
    },
  })
  @Problems(400, 413)
  @ForeignAgent()
  async evaluations(
    @Req() request: Request,
    @Query() query: AuthzenQuery,
    @CurrentPrincipal() principal: Principal,
    @Charge() charge: (more: number) => void,
    @CallerGone() gone: AbortSignal,
  ): Promise<AuthzenDecisions | AuthzenDecision> {
    const body = jsonOf(request);
    if (isSingle(body)) return this.evaluation(request, query, principal);
    const batch = readEvaluations(body);
    if (isFaulty(batch)) throw faulty(batch);
    const requests = requestsOf(batch).map((one) => asAgent(principal, one));
    charge(Math.max(0, requests.length - 1));
    await this.policy.room();
    const answers = answersOf(batch, await this.policy.evaluateAll(requests, gone, isLast(batch)));
    return query.context === 'none' ? { evaluations: answers.evaluations.map(bare) } : answers;
  }

  private async decide(reading: Reading, principal: Principal): Promise<AuthzenDecision> {
    if (isFaulty(reading)) throw faulty(reading);
    return answerOf(await this.policy.evaluate(asAgent(principal, reading)));
  }
}

function bare({ decision }: AuthzenDecision): AuthzenDecision {
  return { decision };
}

/** Express uses the forwarded protocol and host only if the proxy is trusted. */
function baseOf(request: Request): string {
  const { protocol, host = '' } = request;
  if (/^https?$/.test(protocol) && HOST.test(host)) return `${protocol}://${host}`;
  const detail =
    'The Host header, or the host that the proxy forwards, is not valid in a URL; send a host name with an optional port.';
  throw new BrainError('malformed', 'malformed_host', detail);
}
