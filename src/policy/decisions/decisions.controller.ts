import { Body, Controller, Get, HttpCode, Inject, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CONFIG, type Config } from '../../config/config.js';
import { BodyOf, Problems } from '../../http/request.js';
import { Access, Public } from '../../security/access.decorator.js';
import { nowSeconds } from '../../shared/clock.js';
import { type Fault, faulty } from '../../shared/errors.js';
import { MAX_FAULTS, shapeFaults, shapeOf } from '../../shared/shapes.js';
import { inSlices } from '../../shared/time-slices.js';
import { checkInSlices } from '../engine/check.js';
import { DEFAULT_POLICIES } from '../engine/defaults.js';
import { contentOf, type PolicyInput, sameIds } from '../engine/normalize.js';
import { EvaluateRequest, type PolicyContent } from '../engine/policy.dto.js';
import { denied } from '../policy.errors.js';
import { PolicyService } from './policy.service.js';
import {
  BatchQuery,
  Decision,
  DecisionList,
  EvaluateBatch,
  EvaluateQuery,
  PolicyHealth,
  PolicyInfo,
  PolicyStats,
  TestRule,
} from './routes.dto.js';

const MAX_MIB = 4;
const MAX_REQUESTS = 1000;
const REQUEST = shapeOf(EvaluateRequest);
/** Of what the routes of this domain answer. */
const VERSION = '1.0.0';

@ApiTags('policy')
@Controller('api/policy')
export class PolicyController {
  constructor(
    private readonly policy: PolicyService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Get('health')
  @Public()
  @ApiOperation({ summary: 'Whether decisions can be made' })
  @ApiOkResponse({ type: PolicyHealth })
  @Problems(503)
  health(): PolicyHealth {
    this.policy.expectReady();
    return { status: 'ok', timestamp: nowSeconds() };
  }

  @Get('info')
  @Access('policy:read')
  @ApiOperation({ summary: 'What the policy domain is set to' })
  @ApiOkResponse({ type: PolicyInfo })
  info(): PolicyInfo {
    const { policyLimits, durableDecisions, maxStaleSeconds } = this.config;
    const config = {
      decisions: durableDecisions ? 'durable' : 'buffered',
      max_stale_seconds: maxStaleSeconds,
      max_rules: policyLimits.rules,
      max_rules_per_policy: policyLimits.rulesPerPolicy,
      max_conditions: policyLimits.conditionsPerRule,
      max_pattern: policyLimits.patternCharacters,
    };
    return { name: 'policy', version: VERSION, config };
  }

  @Get('stats')
  @Access('policy:read')
  @ApiOperation({
    summary: 'How many policies there are, and how many decisions were made, over all replicas',
  })
  @ApiOkResponse({ type: PolicyStats })
  stats(): Promise<PolicyStats> {
    return this.policy.stats();
  }

  @Get('default-policies')
  @Access('policy:read')
  @ApiOperation({ summary: 'The ids of the policies that a new installation starts with' })
  @ApiOkResponse({ schema: { type: 'array', items: { type: 'string' }, example: ['admin_full_access'] } })
  defaults(): string[] {
    return DEFAULT_POLICIES.map(({ policy_id }) => policy_id);
  }

  @Post('evaluate')
  @HttpCode(200)
  @Access('policy:evaluate')
  @ApiOperation({ summary: 'May this agent do this? A denial is an answer, not an error' })
  @ApiOkResponse({ type: Decision })
  @Problems(400, 413, 415, 422)
  evaluate(@Body() body: EvaluateRequest, @Query() query: EvaluateQuery): Decision | Promise<Decision> {
    // Most ask for nothing more, and theirs is the hot path.
    if (!query.enforce && !query.explain && query.min_revision === undefined)
      return this.policy.evaluate(body);
    return this.evaluateAs(body, query);
  }

  @Post('evaluate/batch')
  @HttpCode(200)
  @Access('policy:evaluate')
  @BodyOf({ maxMib: MAX_MIB })
  @ApiOperation({ summary: 'Up to 1,000 decisions at once, all by the same revision of the policies' })
  @ApiOkResponse({ type: DecisionList })
  @Problems(400, 413, 415, 422)
  async batch(
    @Body() { evaluations }: EvaluateBatch,
    @Query() { min_revision }: BatchQuery,
  ): Promise<DecisionList> {
    const faults = batchFaults(evaluations);
    if (faults.length > 0) throw faulty(faults);
    if (min_revision !== undefined) await this.policy.atLeast(min_revision);
    return { decisions: await this.policy.evaluateAll(evaluations) };
  }

  @Post('test-rule')
  @HttpCode(200)
  @Access('policy:evaluate')
  @BodyOf({ maxMib: MAX_MIB })
  @ApiOperation({ summary: 'What would be decided, be it by drafts; counts nothing and tells nothing' })
  @ApiOkResponse({ type: Decision })
  @Problems(400, 413, 415, 422)
  async test(@Body() { policies, explain, ...request }: TestRule): Promise<Decision> {
    const drafts = policies === undefined ? undefined : await this.draftsOf(policies);
    const { explain: why, ...decision } = await this.policy.test(request, drafts);
    return explain ? { ...decision, explain: why } : decision;
  }

  private async evaluateAs(body: EvaluateRequest, query: EvaluateQuery): Promise<Decision> {
    if (query.min_revision !== undefined) await this.policy.atLeast(query.min_revision);
    const decision = await this.policy.evaluate(body, query);
    if (query.enforce && !decision.allowed) throw denied(decision);
    return decision;
  }

  private async draftsOf(policies: readonly unknown[]): Promise<PolicyContent[]> {
    const pointer = '/policies';
    const faults = await inSlices(checkInSlices(policies, { limits: this.config.policyLimits, pointer }));
    if (faults.length > 0) throw faulty(faults);
    const drafts = (policies as PolicyInput[]).map(contentOf);
    const same = sameIds(drafts, pointer);
    if (same.length > 0) throw faulty(same);
    return drafts;
  }
}

/** The input guard does not check the members of a list; this does, without a copy of each request. */
function batchFaults(requests: readonly unknown[]): Fault[] {
  if (requests.length === 0 || requests.length > MAX_REQUESTS) {
    const detail = `must be a list of 1 to ${MAX_REQUESTS} requests`;
    return [{ pointer: '/evaluations', detail, code: 'list' }];
  }
  const faults: Fault[] = [];
  for (const [i, request] of requests.entries()) {
    if (faults.length >= MAX_FAULTS) break;
    shapeFaults(REQUEST, request, `/evaluations/${i}`, faults);
  }
  return faults;
}
