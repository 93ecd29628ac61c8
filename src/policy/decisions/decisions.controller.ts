import { applyDecorators, Body, Controller, Get, HttpCode, Inject, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CONFIG, type Config } from '../../config/config.js';
import { BodyOf, CallerGone, ForeignAgent, ProblemIf, Problems } from '../../http/request.js';
import {
  Access,
  Charge,
  type Cost,
  CurrentPrincipal,
  PublicHealth,
} from '../../security/access.decorator.js';
import { asAgent, expectPermission, type Principal } from '../../security/principal.js';
import { nowSeconds } from '../../shared/clock.js';
import { type Fault, faulty } from '../../shared/errors.js';
import { MAX_FAULTS, shapeFaults, shapeOf } from '../../shared/shapes.js';
import { inSlices } from '../../shared/time-slices.js';
import { checkInSlices } from '../engine/check.js';
import { DEFAULT_POLICIES } from '../engine/defaults.js';
import { contentOf, type PolicyInput, sameIds } from '../engine/normalize.js';
import { EvaluateRequest, type PolicyContent } from '../engine/policy.dto.js';
import { denied } from '../policy.errors.js';
import { policyLimits } from '../policy.settings.js';
import { expectSameEntities } from './entities.js';
import { type Answer, type Explain, PolicyService } from './policy.service.js';
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
const REQUEST = shapeOf(EvaluateRequest);
/** The place of the drafts in the body. */
const DRAFTS = '/policies';
/** The version of the routes of this domain. */
const VERSION = '1.0.0';

/** Decides, and answers with the decisions. */
const Decides = (
  type: typeof Decision | typeof DecisionList,
  description: string,
  cost: Cost = 'decision',
): MethodDecorator =>
  applyDecorators(
    HttpCode(200),
    Access('policy:evaluate', cost),
    ApiOkResponse({ type, description }),
    Problems(400, 413, 415, 422),
    ForeignAgent(),
  );
const MinRevisionNotReached = (): MethodDecorator =>
  ProblemIf(503, 'Or this replica has not reached `min_revision` within a second (`revision_not_reached`)');

@ApiTags('policy')
@Controller('api/policy')
export class PolicyController {
  constructor(
    private readonly policy: PolicyService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Get('health')
  @PublicHealth()
  @ApiOperation({
    summary: 'Check whether this replica can decide',
    description:
      'Answers 503 until the policies are read, and when they are too old to decide by. No key is needed, unless BRAIN_PUBLIC_HEALTH is off.',
  })
  @ApiOkResponse({ type: PolicyHealth, description: 'This replica can decide' })
  @Problems(503)
  health(): PolicyHealth {
    this.policy.expectReady();
    return { status: 'ok', timestamp: nowSeconds() };
  }

  @Get('info')
  @Access('policy:read')
  @ApiOperation({
    summary: 'Read the settings of the domain',
    description: 'How decisions are recorded, how long memory may be used, and the limits for policies.',
  })
  @ApiOkResponse({ type: PolicyInfo, description: 'The settings' })
  info(): PolicyInfo {
    const { durableDecisions, maxStaleSeconds } = this.config;
    const { rules, rulesPerPolicy, conditionsPerRule, patternCharacters } = policyLimits(this.config);
    const config = {
      decisions: durableDecisions ? 'durable' : 'buffered',
      max_stale_seconds: maxStaleSeconds,
      max_rules: rules,
      max_rules_per_policy: rulesPerPolicy,
      max_conditions: conditionsPerRule,
      max_pattern: patternCharacters,
    };
    return { name: 'policy', version: VERSION, config };
  }

  @Get('stats')
  @Access('policy:read')
  @ApiOperation({
    summary: 'Count policies and decisions',
    description: 'The totals of all replicas. Other replicas add their latest decisions within 250 ms.',
  })
  @ApiOkResponse({ type: PolicyStats, description: 'The totals' })
  stats(): Promise<PolicyStats> {
    return this.policy.stats();
  }

  @Get('default-policies')
  @Access('policy:read')
  @ApiOperation({
    summary: 'List the default policies',
    description:
      'The ids of the policies of a new installation. They may have been changed or deleted since.',
  })
  @ApiOkResponse({
    description: 'The ids',
    schema: { type: 'array', items: { type: 'string' }, example: ['admin_full_access'] },
  })
  defaults(): string[] {
    return DEFAULT_POLICIES.map(({ policy_id }) => policy_id);
  }

  @Post('evaluate')
  @ProblemIf(403, 'Or, with `enforce=true`, the policies deny the request (`denied_by_policy`)')
  @MinRevisionNotReached()
  @Decides(Decision, 'The decision')
  @ApiOperation({
    summary: 'Decide one request',
    description:
      'Answers whether the agent may do this. A denial is an answer with status 200, unless `enforce=true` asks for a 403.',
  })
  evaluate(
    @Body() body: EvaluateRequest,
    @Query() query: EvaluateQuery,
    @CurrentPrincipal() principal: Principal,
  ): Answer<Decision> {
    const request = asAgent(principal, body);
    expectSameEntities(request);
    // The hot path: most requests have no query, and their decision needs no promise.
    if (!query.enforce && !query.explain && query.min_revision === undefined)
      return this.policy.evaluate(request);
    return this.evaluateWith(request, query, principal);
  }

  @Post('evaluate/batch')
  @MinRevisionNotReached()
  @Decides(DecisionList, 'The decisions')
  @BodyOf({ maxMib: MAX_MIB })
  @ApiOperation({
    summary: 'Decide many requests',
    description:
      'Up to 1,000 decisions, all by the same revision of the policies. Each is counted and has its events.',
  })
  async batch(
    @Body() { evaluations }: EvaluateBatch,
    @Query() { min_revision }: BatchQuery,
    @CurrentPrincipal() principal: Principal,
    @Charge() charge: (more: number) => void,
    @CallerGone() gone: AbortSignal,
  ): Promise<DecisionList> {
    const faults = batchFaults(evaluations);
    if (faults.length > 0) throw faulty(faults);
    charge(evaluations.length - 1);
    for (const [i, request] of evaluations.entries()) {
      const at = `/evaluations/${i}`;
      expectSameEntities(asAgent(principal, request, at), at);
    }
    if (min_revision !== undefined) await this.policy.atLeast(min_revision);
    await this.policy.room();
    return { decisions: await this.policy.evaluateAll(evaluations, gone) };
  }

  @Post('test-rule')
  @ProblemIf(403, 'Or the request has drafts in `policies`, which needs the permission `policy:write`')
  @ProblemIf(422, 'Or deciding by the drafts takes too much time or memory (`too_costly`)')
  @ProblemIf(429, 'Or too many drafts and imports in YAML wait already (`busy`)')
  @Decides(Decision, 'The decision that would be made', 'heavy')
  @BodyOf({ maxMib: MAX_MIB })
  @ApiOperation({
    summary: 'Try a request',
    description:
      'Answers what would be decided, by the stored policies or by drafts in `policies`; drafts need the permission `policy:write`. It counts nothing. A test by the stored policies leaves the event `policy.tested`.',
  })
  async test(
    @Body() { policies, explain, ...body }: TestRule,
    @CurrentPrincipal() principal: Principal,
    @CallerGone() gone: AbortSignal,
  ): Promise<Decision> {
    if (policies !== undefined) expectPermission(principal, 'policy:write');
    const request = asAgent(principal, body);
    expectSameEntities(request);
    const wanted = explainFor(principal, explain);
    if (policies === undefined) return this.policy.test(request, wanted);
    const drafts = await this.draftsOf(policies);
    return this.policy.testDrafts(request, drafts, { pointer: DRAFTS, explain: wanted, gone });
  }

  private async evaluateWith(
    body: EvaluateRequest,
    query: EvaluateQuery,
    principal: Principal,
  ): Promise<Decision> {
    if (query.min_revision !== undefined) await this.policy.atLeast(query.min_revision);
    const decision = await this.policy.evaluate(body, explainFor(principal, query.explain));
    if (query.enforce && !decision.allowed) throw denied(decision);
    return decision;
  }

  private async draftsOf(policies: readonly unknown[]): Promise<PolicyContent[]> {
    const options = { limits: policyLimits(this.config), pointer: DRAFTS };
    const faults = await inSlices(checkInSlices(policies, { ...options, compiles: false }));
    // With the faults of the patterns, so that all faults come at once.
    if (faults.length > 0) throw faulty(await inSlices(checkInSlices(policies, options)));
    const drafts = (policies as PolicyInput[]).map(contentOf);
    const duplicates = sameIds(drafts, DRAFTS);
    if (duplicates.length > 0) throw faulty(duplicates);
    return drafts;
  }
}

/** Agents and gateways do not get near misses: they would tell how to get around a rule. */
function explainFor({ role }: Principal, isWanted = false): Explain {
  if (!isWanted) return 'none';
  return role === 'agent' || role === 'gateway' ? 'deciding' : 'all';
}

/** Checks the requests of a batch: the input guard checks only that it is a list of the right length. */
function batchFaults(requests: readonly unknown[]): Fault[] {
  const faults: Fault[] = [];
  for (const [i, request] of requests.entries()) {
    if (faults.length >= MAX_FAULTS) break;
    shapeFaults(REQUEST, request, `/evaluations/${i}`, faults);
  }
  return faults;
}
