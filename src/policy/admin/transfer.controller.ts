/** The export and the import of all policies. */
import { Readable } from 'node:stream';
import { Body, Controller, Get, Header, HttpCode, Post, Query, StreamableFile } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import { BodyOf, CallerGone, ChecksOwnBody, ProblemIf, Problems } from '../../http/request.js';
import { Access, CurrentPrincipal } from '../../security/access.decorator.js';
import type { Principal } from '../../security/principal.js';
import { policiesIn } from '../engine/normalize.js';
import { HeavyWork } from '../heavy/heavy-work.js';
import { PolicyImporter } from './importer.js';
import { ImportAnswer, ImportBody, ImportQuery } from './policies.dto.js';
import { PolicyReader } from './policy-reader.js';
import { SendsPolicyRevision, type WriteResult } from './write-response.interceptor.js';
import { parseYaml, yamlOf } from './yaml.js';

const MAX_MIB = 16;
const YAML = 'application/yaml';

/** `operationId` keeps the names that generated clients use. */
@ApiTags('policy')
@Controller('api/policy')
export class TransferController {
  constructor(
    private readonly reader: PolicyReader,
    private readonly importer: PolicyImporter,
    private readonly heavy: HeavyWork,
  ) {}

  @Get('export')
  @Access('policy:read', 'heavy')
  @Header('Content-Type', `${YAML}; charset=utf-8`)
  @ApiOperation({
    operationId: 'policies_export',
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
  @ProblemIf(415, 'A body in YAML is accepted here too')
  @ProblemIf(422, 'Or reading the YAML takes too much time or memory (`too_costly`)')
  @ProblemIf(429, 'Or too many drafts and imports in YAML wait already (`busy`)')
  @ProblemIf(503, 'Or other writes come in between (`policies_changed`)')
  @Access('policy:write', 'heavy')
  @SendsPolicyRevision()
  @BodyOf({ maxMib: MAX_MIB, yaml: true })
  @ChecksOwnBody()
  @ApiOperation({
    operationId: 'policies_import',
    summary: 'Import policies',
    description:
      'Writes all policies in one commit, or none of them. With `dry_run=true` it only lists what would change.',
  })
  @ApiConsumes('application/json', YAML)
  @ApiBody({ type: ImportBody })
  @ApiOkResponse({ type: ImportAnswer, description: 'What was changed, or would be' })
  @Problems(400, 409, 413, 415, 422)
  @ProblemIf(409, 'Or there would be too many policies (`too_many_policies`)')
  async import(
    @Body() body: unknown,
    @Query() { mode, dry_run }: ImportQuery,
    @CurrentPrincipal() { id: by }: Principal,
    @CallerGone() gone: AbortSignal,
  ): Promise<WriteResult> {
    const policies = policiesIn(typeof body === 'string' ? await parseYaml(body, this.heavy, gone) : body);
    const { plan, revision, warnings } = await this.importer.import(policies, { mode, dryRun: dry_run, by });
    const answer: ImportAnswer = { applied: !dry_run, ...plan, policy_revision: revision, warnings };
    return { revision, body: answer };
  }
}

async function* startingWith(first: string, others: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first;
  yield* others;
}
