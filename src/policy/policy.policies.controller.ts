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
} from '../http/request.js';
import { Access, CurrentPrincipal } from '../security/access.decorator.js';
import type { Principal } from '../security/principal.js';
import { type Fault, faulty, pointerTo } from '../shared/errors.js';
import type { Once } from '../storage/store.js';
import { Policy, PolicyContent, Rule } from './policy.dto.js';
import { PolicyEditor, type Written } from './policy.editor.js';
import {
  ImportAnswer,
  ImportBody,
  ImportQuery,
  PolicyPage,
  RevisionPage,
  Rollback,
  WrittenPolicy,
  WrittenRule,
} from './policy.routes.dto.js';
import { PolicySnapshots } from './policy.snapshots.js';
import { readYaml, writeYaml } from './policy.yaml.js';

const MAX_MIB = 4;
const MAX_FAULTS = 50;
const MAX_IMPORT_MIB = 16;
const YAML = 'application/yaml';
/** So long a write waits until this replica decides by it; others do within a second. */
const OWN_MS = 1000;

@ApiTags('policy')
@Controller('api/policy')
export class PoliciesController {
  constructor(
    private readonly editor: PolicyEditor,
    private readonly snapshots: PolicySnapshots,
  ) {}

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
    @Idempotency() once: Once | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<WrittenPolicy> {
    return this.policyOf(response, await this.editor.create(body, { by, once }));
  }

  @Get('policies/:policy_id')
  @Access('policy:read')
  @ApiOperation({ summary: 'Read one policy' })
  @ApiOkResponse({ type: Policy })
  @Problems(404)
  async get(@Param('policy_id') id: string, @Res({ passthrough: true }) response: Response): Promise<Policy> {
    const policy = await this.editor.get(id);
    response.setHeader('ETag', `"${policy.revision}"`);
    return policy;
  }

  @Put('policies/:policy_id')
  @Access('policy:write')
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
    @Res({ passthrough: true }) response: Response,
  ): Promise<WrittenPolicy> {
    return this.policyOf(response, await this.editor.update(id, body, { by, version }));
  }

  @Delete('policies/:policy_id')
  @HttpCode(204)
  @Access('policy:write')
  @Conditional()
  @ApiOperation({ summary: 'Delete a policy; a rollback to one of its revisions brings it back' })
  @ApiNoContentResponse()
  @Problems(404, 412)
  async remove(
    @Param('policy_id') id: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<void> {
    await this.told(response, await this.editor.remove(id, { by, version }));
  }

  @Get('policies/:policy_id/revisions')
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

  @Post('policies/:policy_id/rollback')
  @HttpCode(200)
  @Access('policy:write')
  @Conditional()
  @ApiOperation({ summary: 'Give a policy the content of an earlier revision; that is a new revision' })
  @ApiOkResponse({ type: WrittenPolicy })
  @Problems(400, 404, 412, 413, 415, 422)
  async rollback(
    @Param('policy_id') id: string,
    @Body() { revision }: Rollback,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<WrittenPolicy> {
    return this.policyOf(response, await this.editor.rollback(id, revision, { by, version }));
  }

  @Post('policies/:policy_id/rules')
  @Access('policy:write')
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
    @Idempotency() once: Once | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<WrittenRule> {
    return this.ruleOf(response, await this.editor.addRule(id, body, { by, version, once }));
  }

  @Put('policies/:policy_id/rules/:rule_id')
  @Access('policy:write')
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
    @Res({ passthrough: true }) response: Response,
  ): Promise<WrittenRule> {
    return this.ruleOf(response, await this.editor.updateRule(id, ruleId, body, { by, version }));
  }

  @Delete('policies/:policy_id/rules/:rule_id')
  @HttpCode(204)
  @Access('policy:write')
  @Conditional()
  @ApiOperation({ summary: 'Remove a rule from a policy' })
  @ApiNoContentResponse()
  @Problems(404, 412)
  async removeRule(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<void> {
    await this.told(response, await this.editor.removeRule(id, ruleId, { by, version }));
  }

  @Post('policies/:policy_id/rules/:rule_id/enable')
  @HttpCode(200)
  @Access('policy:write')
  @Conditional()
  @ApiOperation({ summary: 'Let a rule hold' })
  @ApiOkResponse({ type: WrittenRule })
  @Problems(404, 412)
  async enable(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<WrittenRule> {
    return this.ruleOf(response, await this.editor.enableRule(id, ruleId, true, { by, version }));
  }

  @Post('policies/:policy_id/rules/:rule_id/disable')
  @HttpCode(200)
  @Access('policy:write')
  @Conditional()
  @ApiOperation({ summary: 'Let a rule hold no longer, without removing it' })
  @ApiOkResponse({ type: WrittenRule })
  @Problems(404, 412)
  async disable(
    @Param('policy_id') id: string,
    @Param('rule_id') ruleId: string,
    @CurrentPrincipal() { id: by }: Principal,
    @IfMatch() version: number | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<WrittenRule> {
    return this.ruleOf(response, await this.editor.enableRule(id, ruleId, false, { by, version }));
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
    const lines = this.lines();
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
  @BodyOf({ maxMib: MAX_IMPORT_MIB, yaml: true })
  @ApiOperation({ summary: 'Write many policies in one commit, or say what that would change' })
  @ApiConsumes('application/json', YAML)
  @ApiBody({ type: ImportBody })
  @ApiOkResponse({ type: ImportAnswer })
  @Problems(400, 409, 413, 415, 422)
  async import(
    @Body() body: unknown,
    @Query() { mode, dry_run }: ImportQuery,
    @CurrentPrincipal() { id: by }: Principal,
    @Res({ passthrough: true }) response: Response,
  ): Promise<ImportAnswer> {
    const policies = policiesIn(typeof body === 'string' ? await readYaml(body) : body);
    const { plan, revision, warnings } = await this.editor.import(policies, { mode, dryRun: dry_run, by });
    await this.told(response, revision);
    return { applied: !dry_run, ...plan, policy_revision: revision, warnings };
  }

  private async *lines(): AsyncGenerator<string> {
    let any = false;
    for await (const policy of this.editor.all()) {
      if (!any) yield 'policies:\n';
      any = true;
      yield writeYaml(policy);
    }
    if (!any) yield 'policies: []\n';
  }

  private async policyOf(
    response: Response,
    { policy, revision, warnings }: Written,
  ): Promise<WrittenPolicy> {
    await this.told(response, revision, policy);
    return { ...policy, policy_revision: revision, warnings };
  }

  private async ruleOf(
    response: Response,
    { policy, revision, warnings, rule }: Written & { rule: Rule },
  ): Promise<WrittenRule> {
    await this.told(response, revision, policy);
    return { ...rule, policy_revision: revision, warnings };
  }

  /** Says by which revision the write holds, and answers once this replica decides by it. */
  private async told(response: Response, revision: number, policy?: Policy): Promise<void> {
    response.setHeader('Policy-Revision', revision);
    if (policy) response.setHeader('ETag', `"${policy.revision}"`);
    await this.snapshots.reach(revision, OWN_MS);
  }
}

async function* following(first: string, others: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first;
  yield* others;
}

function policiesIn(body: unknown): unknown[] {
  const { policies, ...others } = (body ?? {}) as { policies?: unknown };
  const faults: Fault[] = Object.keys(Array.isArray(body) ? [] : others).map((name) => ({
    pointer: pointerTo(name),
    detail: 'is not known here; known is policies',
    code: 'unknown_field',
  }));
  if (!Array.isArray(policies)) {
    const detail = 'is required and must be a list of policies';
    faults.push({ pointer: '/policies', detail, code: 'required' });
  }
  if (faults.length > 0) throw faulty(faults.slice(0, MAX_FAULTS));
  return policies as unknown[];
}
