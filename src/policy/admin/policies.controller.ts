import { Readable } from 'node:stream';
import {
  applyDecorators,
  Body,
  Controller,
  Delete,
  Get,
  Header,
  HttpCode,
  Param,
  Post,
  Put,
  Query,
  Res,
  StreamableFile,
  UseInterceptors,
} from '@nestjs/common';
import {
  ApiBody,
  ApiConsumes,
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiProduces,
  ApiTags,
} from '@nestjs/swagger';
import type { Response } from 'express';
import {
  BodyOf,
  ChecksOwnBody,
  Conditional,
  Idempotency,
  Idempotent,
  IfMatch,
  PageQuery,
  Problems,
} from '../../http/request.js';
import { Access, CurrentPrincipal } from '../../security/access.decorator.js';
import type { Principal } from '../../security/principal.js';
import type { IdempotencyKey } from '../../storage/store.js';
import { policiesIn } from '../engine/normalize.js';
import { Policy, PolicyContent, Rule } from '../engine/policy.dto.js';
import { PolicyEditor } from './editor.js';
import { PolicyImporter } from './importer.js';
import {
  ImportAnswer,
  ImportBody,
  ImportQuery,
  PolicyPage,
  RevisionPage,
  Rollback,
  WrittenPolicy,
  WrittenRule,
} from './policies.dto.js';
import { PolicyReader } from './policy-reader.js';
import {
  policyResult,
  ruleResult,
  WriteResponseInterceptor,
  type WriteResult,
} from './write-response.interceptor.js';
import { readYaml, yamlOf } from './yaml.js';

const MAX_MIB = 4;
const MAX_IMPORT_MIB = 16;
const YAML = 'application/yaml';
const POLICY = 'policies/:policy_id';
const RULE = `${POLICY}/rules/:rule_id`;

const PolicyParam = (): MethodDecorator =>
  ApiParam({ name: 'policy_id', description: 'The id of the policy', example: 'production_deployment' });
const RuleParams = (): MethodDecorator =>
  applyDecorators(
    PolicyParam(),
    ApiParam({ name: 'rule_id', description: 'The id of the rule', example: 'no_deploy_on_friday' }),
  );

@ApiTags('policy')
@Controller('api/policy')
export class PoliciesController {
  constructor(
    private readonly reader: PolicyReader,
    private readonly editor: PolicyEditor,
    private readonly importer: PolicyImporter,
  ) {}

  @Get('policies')
  @Access('policy:read')
  @ApiOperation({
    summary: 'List policies',
    description: 'The policies with all their rules, sorted by id, page by page.',
  })
  @ApiOkResponse({ type: PolicyPage, description: 'One page of policies' })
  @Problems(422)
  async list(@Query() query: PageQuery): Promise<PolicyPage> {
    const { rows, total, next } = await this.reader.list(query);
    return { total: total ?? 0, policies: rows, next_cursor: next };
  }

  @Post('policies')
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_MIB })
  @ChecksOwnBody()
  @Idempotent()
  @ApiOperation({
    summary: 'Create a policy',
    description:
      'Only `name` is required, and `name` and `effect` for each rule. A missing id is made from the name.',
  })
  @ApiBody({ type: PolicyContent })
  @ApiCreatedResponse({ type: WrittenPolicy, description: 'The new policy' })
  @Problems(400, 409, 413, 415, 422)
  async create(
    @Body() body: object,
    @CurrentPrincipal() { id: by }: Principal,
    @Idempotency() idempotency: IdempotencyKey | undefined,
  ): Promise<WriteResult> {
    return policyResult(await this.editor.create(body, { by, idempotency }));
  }

  @Get(POLICY)
  @PolicyParam()
  @Access('policy:read')
  @ApiOperation({
    summary: 'Read a policy',
    description:
      'The policy with all its rules. The `ETag` is its revision; send it as `If-Match` to change the policy safely.',
  })
  @ApiOkResponse({ type: Policy, description: 'The policy' })
  @Problems(404)
  async get(@Param('policy_id') id: string, @Res({ passthrough: true }) response: Response): Promise<Policy> {
    const policy = await this.reader.get(id);
    response.setHeader('ETag', `"${policy.revision}"`);
    return policy;
  }

  @Put(POLICY)
  @PolicyParam()
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_MIB })
  @ChecksOwnBody()
  @Conditional()
  @ApiOperation({
    summary: 'Change a policy',
    description:
      'Changes only the fields in the body; `rules` replaces all rules. A write that changes nothing creates no revision and no event.',
  })
  @ApiBody({ type: PolicyContent })
  @ApiOkResponse({ type: WrittenPolicy, description: 'The policy after the write' })
  @Problems(400, 404, 412, 413, 415, 422)
  async update(
    @Param('policy_id') id: string,
    @Body() body: object,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<WriteResult> {
    return policyResult(await this.editor.update(id, body, { by, version }));
  }

  @Delete(POLICY)
  @PolicyParam()
  @HttpCode(204)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({
    summary: 'Delete a policy',
    description: 'Its revisions are kept for a while; a rollback to one of them restores the policy.',
  })
  @ApiNoContentResponse({ description: 'It is deleted' })
  @Problems(404, 412)
  async remove(
    @Param('policy_id') id: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<WriteResult> {
    return { revision: await this.editor.remove(id, { by, version }) };
  }

  @Get(`${POLICY}/revisions`)
  @PolicyParam()
  @Access('policy:read')
  @ApiOperation({
    summary: 'List the revisions of a policy',
    description:
      'Each change with its time, its author and the difference, the latest first. Works for deleted policies too.',
  })
  @ApiOkResponse({ type: RevisionPage, description: 'One page of revisions' })
  @Problems(404, 422)
  async revisions(@Param('policy_id') id: string, @Query() query: PageQuery): Promise<RevisionPage> {
    const { rows, next } = await this.reader.revisions(id, query);
    const revisions = rows.map(({ revision, at, by, policy, changes }) => ({
      revision,
      at,
      by,
      policy,
      changes,
    }));
    return { revisions, next_cursor: next };
  }

  @Post(`${POLICY}/rollback`)
  @PolicyParam()
  @HttpCode(200)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({
    summary: 'Roll a policy back',
    description:
      'Writes the content of an earlier revision as a new revision. It also restores a deleted policy.',
  })
  @ApiOkResponse({ type: WrittenPolicy, description: 'The policy after the write' })
  @Problems(400, 404, 412, 413, 415, 422)
  async rollback(
    @Param('policy_id') id: string,
    @Body() { revision }: Rollback,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<WriteResult> {
    return policyResult(await this.editor.rollback(id, revision, { by, version }));
  }

  @Post(`${POLICY}/rules`)
  @PolicyParam()
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_MIB })
  @ChecksOwnBody()
  @Idempotent()
  @Conditional()
  @ApiOperation({
    summary: 'Add a rule',
    description: 'Only `name` and `effect` are required. A missing `rule_id` is made from the name.',
  })
  @ApiBody({ type: Rule })
  @ApiCreatedResponse({ type: WrittenRule, description: 'The new rule' })
  @Problems(400, 404, 409, 412, 413, 415, 422)
  async addRule(
    @Param('policy_id') id: string,
    @Body() body: object,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
    @Idempotency() idempotency: IdempotencyKey | undefined,
  ): Promise<WriteResult> {
    return ruleResult(await this.editor.addRule(id, body, { by, version, idempotency }));
  }

  @Put(RULE)
  @RuleParams()
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_MIB })
  @ChecksOwnBody()
  @Conditional()
  @ApiOperation({
    summary: 'Change a rule',
    description: 'Changes only the fields in the body. `rule_id` cannot change.',
  })
  @ApiBody({ type: Rule })
  @ApiOkResponse({ type: WrittenRule, description: 'The rule after the write' })
  @Problems(400, 404, 412, 413, 415, 422)
  async updateRule(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @Body() body: object,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<WriteResult> {
    return ruleResult(await this.editor.updateRule(id, ruleId, body, { by, version }));
  }

  @Delete(RULE)
  @RuleParams()
  @HttpCode(204)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({
    summary: 'Delete a rule',
    description: 'Deletes the rule from its policy. A rollback of the policy restores it.',
  })
  @ApiNoContentResponse({ description: 'It is deleted' })
  @Problems(404, 412)
  async removeRule(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<WriteResult> {
    return { revision: await this.editor.removeRule(id, ruleId, { by, version }) };
  }

  @Post(`${RULE}/enable`)
  @RuleParams()
  @HttpCode(200)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({
    summary: 'Enable a rule',
    description: 'The rule takes part in decisions again.',
  })
  @ApiOkResponse({ type: WrittenRule, description: 'The rule after the write' })
  @Problems(404, 412)
  async enable(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<WriteResult> {
    return ruleResult(await this.editor.enableRule(id, ruleId, true, { by, version }));
  }

  @Post(`${RULE}/disable`)
  @RuleParams()
  @HttpCode(200)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({
    summary: 'Disable a rule',
    description: 'The rule stays in its policy, but takes no part in decisions.',
  })
  @ApiOkResponse({ type: WrittenRule, description: 'The rule after the write' })
  @Problems(404, 412)
  async disable(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<WriteResult> {
    return ruleResult(await this.editor.enableRule(id, ruleId, false, { by, version }));
  }

  @Get('export')
  @Access('policy:read')
  @Header('Content-Type', `${YAML}; charset=utf-8`)
  @ApiOperation({
    summary: 'Export all policies',
    description: 'All policies as YAML, in the format of the import.',
  })
  @ApiProduces(YAML)
  @ApiOkResponse({
    description: 'All policies as YAML',
    schema: { type: 'string', example: 'policies:\n  - policy_id: "production_deployment"\n' },
  })
  async export(): Promise<StreamableFile> {
    const lines = yamlOf(this.reader.all());
    // Reads the first line before the answer starts, so that a store that cannot be reached is answered as a problem.
    const first = await lines.next();
    const text = Readable.from(first.done ? [] : startingWith(first.value, lines));
    const file = new StreamableFile(text, { type: `${YAML}; charset=utf-8` });
    // A broken export must not look complete: imported with `replace` it would delete the missing policies.
    return file.setErrorHandler((_error, response) => response.destroy?.());
  }

  @Post('import')
  @HttpCode(200)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_IMPORT_MIB, yaml: true })
  @ChecksOwnBody()
  @ApiOperation({
    summary: 'Import policies',
    description:
      'Writes all policies in one commit, or none of them. With `dry_run=true` it only lists what would change.',
  })
  @ApiConsumes('application/json', YAML)
  @ApiBody({ type: ImportBody })
  @ApiOkResponse({ type: ImportAnswer, description: 'What was changed, or would be' })
  @Problems(400, 409, 413, 415, 422)
  async import(
    @Body() body: unknown,
    @Query() { mode, dry_run }: ImportQuery,
    @CurrentPrincipal() { id: by }: Principal,
  ): Promise<WriteResult> {
    const policies = policiesIn(typeof body === 'string' ? await readYaml(body) : body);
    const { plan, revision, warnings } = await this.importer.import(policies, { mode, dryRun: dry_run, by });
    const answer: ImportAnswer = { applied: !dry_run, ...plan, policy_revision: revision, warnings };
    return { revision, body: answer };
  }
}

async function* startingWith(first: string, others: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first;
  yield* others;
}
