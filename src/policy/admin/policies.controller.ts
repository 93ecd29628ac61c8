import { Readable } from 'node:stream';
import {
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
  ApiProduces,
  ApiTags,
} from '@nestjs/swagger';
import type { Response } from 'express';
import {
  BodyOf,
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
import {
  ImportAnswer,
  ImportBody,
  ImportQuery,
  PolicyPage,
  RevisionPage,
  Rollback,
  WrittenPolicy,
  WrittenRule,
} from '../decisions/routes.dto.js';
import { policiesIn } from '../engine/normalize.js';
import { Policy, PolicyContent, Rule } from '../engine/policy.dto.js';
import { PolicyEditor } from './editor.js';
import { type Done, policyDone, ruleDone, WriteResponseInterceptor } from './write-response.interceptor.js';
import { readYaml, yamlOf } from './yaml.js';

const MAX_MIB = 4;
const MAX_IMPORT_MIB = 16;
const YAML = 'application/yaml';
const POLICY = 'policies/:policy_id';
const RULE = `${POLICY}/rules/:rule_id`;

@ApiTags('policy')
@Controller('api/policy')
export class PoliciesController {
  constructor(private readonly editor: PolicyEditor) {}

  @Get('policies')
  @Access('policy:read')
  @ApiOperation({ summary: 'List policies by their ids' })
  @ApiOkResponse({ type: PolicyPage })
  @Problems(422)
  async list(@Query() query: PageQuery): Promise<PolicyPage> {
    const { rows, total, next } = await this.editor.list(query);
    return { total: total ?? 0, policies: rows, next_cursor: next };
  }

  @Post('policies')
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_MIB })
  @Idempotent()
  @ApiOperation({
    summary: 'Make a policy; its id and those of its rules are made from the names where they are left out',
  })
  @ApiBody({ type: PolicyContent })
  @ApiCreatedResponse({ type: WrittenPolicy })
  @Problems(400, 409, 413, 415, 422)
  async create(
    @Body() body: object,
    @CurrentPrincipal() { id: by }: Principal,
    @Idempotency() idempotency: IdempotencyKey | undefined,
  ): Promise<Done> {
    return policyDone(await this.editor.create(body, { by, idempotency }));
  }

  @Get(POLICY)
  @Access('policy:read')
  @ApiOperation({ summary: 'Read one policy' })
  @ApiOkResponse({ type: Policy })
  @Problems(404)
  async get(@Param('policy_id') id: string, @Res({ passthrough: true }) response: Response): Promise<Policy> {
    const policy = await this.editor.get(id);
    response.setHeader('ETag', `"${policy.revision}"`);
    return policy;
  }

  @Put(POLICY)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_MIB })
  @Conditional()
  @ApiOperation({ summary: 'Change a policy: only the fields that are sent' })
  @ApiBody({ type: PolicyContent })
  @ApiOkResponse({ type: WrittenPolicy })
  @Problems(400, 404, 412, 413, 415, 422)
  async update(
    @Param('policy_id') id: string,
    @Body() body: object,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Done> {
    return policyDone(await this.editor.update(id, body, { by, version }));
  }

  @Delete(POLICY)
  @HttpCode(204)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({ summary: 'Delete a policy; a rollback to one of its revisions brings it back' })
  @ApiNoContentResponse()
  @Problems(404, 412)
  async remove(
    @Param('policy_id') id: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Done> {
    return { revision: await this.editor.remove(id, { by, version }) };
  }

  @Get(`${POLICY}/revisions`)
  @Access('policy:read')
  @ApiOperation({ summary: 'What became of a policy, the latest first: who, when, and what differs' })
  @ApiOkResponse({ type: RevisionPage })
  @Problems(404, 422)
  async revisions(@Param('policy_id') id: string, @Query() query: PageQuery): Promise<RevisionPage> {
    const { rows, next } = await this.editor.revisions(id, query);
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
  @HttpCode(200)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({ summary: 'Give a policy the content of an earlier revision; that is a new revision' })
  @ApiOkResponse({ type: WrittenPolicy })
  @Problems(400, 404, 412, 413, 415, 422)
  async rollback(
    @Param('policy_id') id: string,
    @Body() { revision }: Rollback,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Done> {
    return policyDone(await this.editor.rollback(id, revision, { by, version }));
  }

  @Post(`${POLICY}/rules`)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_MIB })
  @Idempotent()
  @Conditional()
  @ApiOperation({ summary: 'Add a rule to a policy' })
  @ApiBody({ type: Rule })
  @ApiCreatedResponse({ type: WrittenRule })
  @Problems(400, 404, 409, 412, 413, 415, 422)
  async addRule(
    @Param('policy_id') id: string,
    @Body() body: object,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
    @Idempotency() idempotency: IdempotencyKey | undefined,
  ): Promise<Done> {
    return ruleDone(await this.editor.addRule(id, body, { by, version, idempotency }));
  }

  @Put(RULE)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_MIB })
  @Conditional()
  @ApiOperation({ summary: 'Change a rule: only the fields that are sent' })
  @ApiBody({ type: Rule })
  @ApiOkResponse({ type: WrittenRule })
  @Problems(400, 404, 412, 413, 415, 422)
  async updateRule(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @Body() body: object,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Done> {
    return ruleDone(await this.editor.updateRule(id, ruleId, body, { by, version }));
  }

  @Delete(RULE)
  @HttpCode(204)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({ summary: 'Remove a rule from a policy' })
  @ApiNoContentResponse()
  @Problems(404, 412)
  async removeRule(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Done> {
    return { revision: await this.editor.removeRule(id, ruleId, { by, version }) };
  }

  @Post(`${RULE}/enable`)
  @HttpCode(200)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({ summary: 'Let a rule hold' })
  @ApiOkResponse({ type: WrittenRule })
  @Problems(404, 412)
  async enable(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Done> {
    return ruleDone(await this.editor.enableRule(id, ruleId, true, { by, version }));
  }

  @Post(`${RULE}/disable`)
  @HttpCode(200)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @Conditional()
  @ApiOperation({ summary: 'Let a rule hold no longer, without removing it' })
  @ApiOkResponse({ type: WrittenRule })
  @Problems(404, 412)
  async disable(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Done> {
    return ruleDone(await this.editor.enableRule(id, ruleId, false, { by, version }));
  }

  @Get('export')
  @Access('policy:read')
  @Header('Content-Type', `${YAML}; charset=utf-8`)
  @ApiOperation({ summary: 'All policies as YAML, as the import takes them' })
  @ApiProduces(YAML)
  @ApiOkResponse({
    schema: { type: 'string', example: 'policies:\n  - policy_id: "production_deployment"\n' },
  })
  async export(): Promise<StreamableFile> {
    const lines = yamlOf(this.editor.all());
    // The first is read before the answer begins: a store that is away is then a problem like any other.
    const first = await lines.next();
    const text = Readable.from(first.done ? [] : following(first.value, lines));
    const file = new StreamableFile(text, { type: `${YAML}; charset=utf-8` });
    // Half an export must not look like a whole one: imported with `replace` it would delete the other half.
    return file.setErrorHandler((_error, response) => response.destroy?.());
  }

  @Post('import')
  @HttpCode(200)
  @Access('policy:write')
  @UseInterceptors(WriteResponseInterceptor)
  @BodyOf({ maxMib: MAX_IMPORT_MIB, yaml: true })
  @ApiOperation({ summary: 'Write many policies in one commit, or say what that would change' })
  @ApiConsumes('application/json', YAML)
  @ApiBody({ type: ImportBody })
  @ApiOkResponse({ type: ImportAnswer })
  @Problems(400, 409, 413, 415, 422)
  async import(
    @Body() sent: unknown,
    @Query() { mode, dry_run }: ImportQuery,
    @CurrentPrincipal() { id: by }: Principal,
  ): Promise<Done> {
    const policies = policiesIn(typeof sent === 'string' ? await readYaml(sent) : sent);
    const { plan, revision, warnings } = await this.editor.import(policies, { mode, dryRun: dry_run, by });
    const body: ImportAnswer = { applied: !dry_run, ...plan, policy_revision: revision, warnings };
    return { revision, body };
  }
}

async function* following(first: string, others: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first;
  yield* others;
}
