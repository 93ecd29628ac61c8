import {
  applyDecorators,
  Body,
  Controller,
  createParamDecorator,
  Delete,
  type ExecutionContext,
  Get,
  HttpCode,
  Param,
  Post,
  Put,
  Query,
  Res,
} from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { SendsNew, SendsNothing, SendsPage } from '../../http/answers.js';
import { Conditional, DeclaresETag, versionsIn } from '../../http/etag.js';
import { BodyOf, ChecksOwnBody, Idempotency, ProblemIf, Problems } from '../../http/request.js';
import { SendsLocation } from '../../http/response-headers.js';
import { Access, CurrentPrincipal, type KnownRequest } from '../../security/access.decorator.js';
import type { Principal } from '../../security/principal.js';
import type { IdempotencyKey } from '../../storage/store.js';
import { Policy, PolicyBody, Rule } from '../engine/policy.dto.js';
import { type Change, PolicyEditor } from './editor.js';
import {
  PolicyChanges,
  PolicyPage,
  PolicyQuery,
  RevisionPage,
  RevisionQuery,
  Rollback,
  RuleChanges,
  WrittenPolicy,
  WrittenRule,
} from './policies.dto.js';
import { PolicyReader } from './policy-reader.js';
import {
  policyResult,
  ruleResult,
  SendsPolicyRevision,
  type WriteResult,
} from './write-response.interceptor.js';

const MAX_MIB = 4;
const POLICY = 'policies/:policy_id';
const RULE = `${POLICY}/rules/:rule_id`;

const PolicyParam = (): MethodDecorator =>
  ApiParam({ name: 'policy_id', description: 'The id of the policy', example: 'production_deployment' });
const RuleParams = (): MethodDecorator =>
  applyDecorators(
    PolicyParam(),
    ApiParam({ name: 'rule_id', description: 'The id of the rule', example: 'no_deploy_on_friday' }),
  );

/** Changes policies. The answer waits until this replica decides by the write. */
const Writes = (): MethodDecorator => applyDecorators(Access('policy:write'), SendsPolicyRevision());
/** Takes a policy or a rule, which the editor checks. */
const Takes = (type: new () => object): MethodDecorator =>
  applyDecorators(BodyOf({ maxMib: MAX_MIB }), ChecksOwnBody(), ApiBody({ type }));
const ChangesPolicy = (): MethodDecorator =>
  applyDecorators(
    HttpCode(200),
    ...[PolicyParam(), Writes(), Conditional(), DeclaresETag()],
    ApiOkResponse({ type: WrittenPolicy, description: 'The policy after the write' }),
    Problems(400, 404, 412, 413, 415, 422),
  );
const ChangesRule = (...problems: number[]): MethodDecorator =>
  applyDecorators(
    HttpCode(200),
    ...[RuleParams(), Writes(), Conditional(), DeclaresETag()],
    ApiOkResponse({ type: WrittenRule, description: 'The rule after the write' }),
    Problems(404, 412, ...problems),
  );
const Deletes = (): MethodDecorator =>
  applyDecorators(...[Writes(), Conditional()], SendsNothing('It is deleted', 404, 412));

const PolicyId = (): ParameterDecorator => Param('policy_id');
const RuleId = (): ParameterDecorator => Param('rule_id');
/** The caller, and the revisions that the policy may have. */
const CurrentChange = createParamDecorator((_: unknown, context: ExecutionContext): Change => {
  const request = context.switchToHttp().getRequest<KnownRequest>();
  return { by: request.principal.id, versions: versionsIn(request) };
});

type Result = Promise<WriteResult>;

@ApiTags('policy')
@Controller('api/policy')
export class PoliciesController {
  constructor(
    private readonly reader: PolicyReader,
    private readonly editor: PolicyEditor,
  ) {}

  @Get('policies')
  @Access('policy:read')
  @ApiOperation({
    summary: 'List policies',
    description: 'The policies with all their rules, sorted by id, page by page. A page ends at 1 MiB.',
  })
  @SendsPage(PolicyPage, 'policies')
  async list(@Query() query: PolicyQuery): Promise<PolicyPage> {
    const { rows, total, next } = await this.reader.list(query);
    return { total: total ?? 0, policies: rows, next_cursor: next };
  }

  @Post('policies')
  @Writes()
  @Takes(PolicyBody)
  @DeclaresETag()
  @SendsLocation('policy_id')
  @ApiOperation({
    summary: 'Create a policy',
    description:
      'Only `name` is required, and `name` and `effect` for each rule. A missing id is made from the name.',
  })
  @SendsNew(WrittenPolicy, 'The new policy')
  @ProblemIf(
    409,
    'Or the id is taken (`policy_exists`), or there are too many policies (`too_many_policies`)',
  )
  async create(
    @Body() body: object,
    @CurrentPrincipal() { id: by }: Principal,
    @Idempotency() idempotency: IdempotencyKey | undefined,
  ): Result {
    return policyResult(await this.editor.create(body, { by, idempotency }));
  }

  @Get(POLICY)
  @PolicyParam()
  @DeclaresETag()
  @Access('policy:read')
  @ApiOperation({
    summary: 'Read a policy',
    description:
      'The policy with all its rules. The `ETag` is its revision; send it as `If-Match` to change the policy safely.',
  })
  @ApiOkResponse({ type: Policy, description: 'The policy' })
  @Problems(404)
  async get(@PolicyId() id: string, @Res({ passthrough: true }) response: Response): Promise<Policy> {
    const policy = await this.reader.get(id);
    response.setHeader('ETag', `"${policy.revision}"`);
    return policy;
  }

  @Put(POLICY)
  @ChangesPolicy()
  @Takes(PolicyChanges)
  @ApiOperation({
    summary: 'Change a policy',
    description:
      'Changes only the fields in the body; `rules` replaces all rules. A write that changes nothing creates no revision and no event.',
  })
  async update(@PolicyId() id: string, @Body() body: object, @CurrentChange() change: Change): Result {
    return policyResult(await this.editor.update(id, body, change));
  }

  @Delete(POLICY)
  @PolicyParam()
  @Deletes()
  @ApiOperation({
    summary: 'Delete a policy',
    description: 'Its revisions are kept for a while; a rollback to one of them restores the policy.',
  })
  async remove(@PolicyId() id: string, @CurrentChange() change: Change): Result {
    return { revision: await this.editor.remove(id, change) };
  }

  @Get(`${POLICY}/revisions`)
  @PolicyParam()
  @Access('policy:read')
  @ApiOperation({
    summary: 'List the revisions of a policy',
    description:
      'Each change with its time, its author and the difference, the latest first. Works for deleted policies too. A page ends at 1 MiB.',
  })
  @SendsPage(RevisionPage, 'revisions')
  @Problems(404)
  async revisions(@PolicyId() id: string, @Query() query: RevisionQuery): Promise<RevisionPage> {
    const { rows, next } = await this.reader.revisions(id, query);
    return { revisions: rows, next_cursor: next };
  }

  @Post(`${POLICY}/rollback`)
  @ChangesPolicy()
  @ApiOperation({
    summary: 'Roll a policy back',
    description:
      'Writes the content of an earlier revision as a new revision. It also restores a deleted policy.',
  })
  async rollback(@PolicyId() id: string, @Body() body: Rollback, @CurrentChange() change: Change): Result {
    return policyResult(await this.editor.rollback(id, body.revision, change));
  }

  @Post(`${POLICY}/rules`)
  @PolicyParam()
  @Writes()
  @Takes(Rule)
  @Conditional()
  @DeclaresETag()
  @SendsLocation('rule_id')
  @ApiOperation({
    summary: 'Add a rule',
    description: 'Only `name` and `effect` are required. A missing `rule_id` is made from the name.',
  })
  @SendsNew(WrittenRule, 'The new rule')
  @Problems(404, 412)
  @ProblemIf(409, 'Or the id is taken (`rule_exists`)')
  async addRule(
    @PolicyId() id: string,
    @Body() body: object,
    @CurrentChange() change: Change,
    @Idempotency() idempotency: IdempotencyKey | undefined,
  ): Result {
    return ruleResult(await this.editor.addRule(id, body, { ...change, idempotency }));
  }

  @Put(RULE)
  @ChangesRule(400, 413, 415, 422)
  @Takes(RuleChanges)
  @ApiOperation({
    summary: 'Change a rule',
    description: 'Changes only the fields in the body. `rule_id` cannot change.',
  })
  async updateRule(
    @PolicyId() id: string,
    @RuleId() rule: string,
    @Body() body: object,
    @CurrentChange() change: Change,
  ): Result {
    return ruleResult(await this.editor.updateRule(id, rule, body, change));
  }

  @Delete(RULE)
  @RuleParams()
  @Deletes()
  @ApiOperation({
    summary: 'Delete a rule',
    description: 'Deletes the rule from its policy. A rollback of the policy restores it.',
  })
  async removeRule(@PolicyId() id: string, @RuleId() rule: string, @CurrentChange() change: Change): Result {
    return { revision: await this.editor.removeRule(id, rule, change) };
  }

  @Post(`${RULE}/enable`)
  @ChangesRule()
  @ApiOperation({ summary: 'Enable a rule', description: 'The rule takes part in decisions again.' })
  async enable(@PolicyId() id: string, @RuleId() rule: string, @CurrentChange() change: Change): Result {
    return ruleResult(await this.editor.enableRule(id, rule, true, change));
  }

  @Post(`${RULE}/disable`)
  @ChangesRule()
  @ApiOperation({
    summary: 'Disable a rule',
    description: 'The rule stays in its policy, but takes no part in decisions.',
  })
  async disable(@PolicyId() id: string, @RuleId() rule: string, @CurrentChange() change: Change): Result {
    return ruleResult(await this.editor.enableRule(id, rule, false, change));
  }
}
