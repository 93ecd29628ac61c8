/** OpenID AuthZEN Authorization API 1.0: the same decisions as everywhere, asked for and answered as others know it. */
import { Controller, Get, Header, HttpCode, Post, Req } from '@nestjs/common';
import {
  ApiBody,
  ApiExtraModels,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
  getSchemaPath,
} from '@nestjs/swagger';
import type { Request } from 'express';
import { BodyOf, OnlyBadRequests, Problems } from '../../http/request.js';
import { Access, Public } from '../../security/access.decorator.js';
import { BrainError, faulty } from '../../shared/errors.js';
import { PolicyService } from '../decisions/policy.service.js';
import {
  AuthzenDecision,
  AuthzenDecisions,
  AuthzenMetadata,
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

const MAX_MIB = 4;
const EVALUATION = 'access/v1/evaluation';
const EVALUATIONS = 'access/v1/evaluations';
/** A name or an address, and a port. Whoever asks chooses it, and it becomes a part of URLs. */
const HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

@ApiTags('authzen')
@Controller()
@OnlyBadRequests()
export class AuthzenController {
  constructor(private readonly policy: PolicyService) {}

  @Get('.well-known/authzen-configuration')
  @Public()
  @Header('Cache-Control', 'private, max-age=3600')
  @ApiOperation({ summary: 'Where AuthZEN is spoken; behind a proxy, with the address that it was asked by' })
  @ApiOkResponse({ type: AuthzenMetadata })
  @Problems(400)
  metadata(@Req() request: Request): AuthzenMetadata {
    const base = baseOf(request);
    return {
      policy_decision_point: base,
      access_evaluation_endpoint: `${base}/${EVALUATION}`,
      access_evaluations_endpoint: `${base}/${EVALUATIONS}`,
    };
  }

  @Post(EVALUATION)
  @HttpCode(200)
  @Access('policy:evaluate')
  @ApiOperation({ summary: 'May this subject do this? A denial is an answer, not an error' })
  @ApiBody({ type: AuthzenRequest })
  @ApiOkResponse({ type: AuthzenDecision })
  @Problems(400, 413)
  evaluation(@Req() request: Request): Promise<AuthzenDecision> {
    return this.decide(readEvaluation(jsonOf(request)));
  }

  @Post(EVALUATIONS)
  @HttpCode(200)
  @Access('policy:evaluate')
  @BodyOf({ maxMib: MAX_MIB })
  @ApiOperation({ summary: 'Up to 1,000 evaluations at once, all of them or up to the first that decides' })
  @ApiBody({ type: AuthzenRequests })
  @ApiExtraModels(AuthzenDecision, AuthzenDecisions)
  @ApiOkResponse({
    schema: {
      oneOf: [AuthzenDecisions, AuthzenDecision].map((one) => ({ $ref: getSchemaPath(one) })),
      example: {
        evaluations: [{ decision: true, context: { reason: "Allowed by rule 'Guests may read'" } }],
      },
    },
  })
  @Problems(400, 413)
  async evaluations(@Req() request: Request): Promise<AuthzenDecisions | AuthzenDecision> {
    const body = jsonOf(request);
    if (isSingle(body)) return this.decide(readEvaluation(body));
    const batch = readEvaluations(body);
    if (isFaulty(batch)) throw faulty(batch);
    return answersOf(batch, await this.policy.evaluateAll(requestsOf(batch), isLast(batch)));
  }

  private async decide(reading: Reading): Promise<AuthzenDecision> {
    if (isFaulty(reading)) throw faulty(reading);
    return answerOf(await this.policy.evaluate(reading));
  }
}

/** The specification knows no other type, be it JSON as well. */
function jsonOf(request: Request): unknown {
  if (request.is('application/json')) return request.body;
  const detail = 'Send a JSON object, with Content-Type: application/json.';
  throw new BrainError('unsupported', 'unsupported_content_type', detail);
}

/** What Express tells of a proxy, it tells only of one that is trusted. */
function baseOf(request: Request): string {
  const { protocol, host = '' } = request;
  if (/^https?$/.test(protocol) && HOST.test(host)) return `${protocol}://${host}`;
  const detail = 'Host, or what the proxy tells of it, is not an address that can stand in a URL.';
  throw new BrainError('malformed', 'malformed_host', detail);
}
