import {
  applyDecorators,
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Param,
  Post,
  Query,
  Res,
} from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { SendsNew, SendsNothing, SendsPage } from '../http/answers.js';
import { Conditional, IfMatch, SendsETag } from '../http/etag.js';
import { type HealthAnswer, HealthRoute, healthAnswer } from '../http/health.js';
import { ForeignAgent, Idempotency, ProblemIf, Problems } from '../http/request.js';
import { SendsLocation } from '../http/response-headers.js';
import { Access, CurrentPrincipal } from '../security/access.decorator.js';
import { expectAgent, type Principal } from '../security/principal.js';
import { faulty } from '../shared/errors.js';
import type { Versions } from '../shared/expect-version.js';
import { isOfService } from '../shared/id-list.js';
import { requiredStatus } from '../shared/status-query.js';
import type { IdempotencyKey } from '../storage/store.js';
import { ThreatOverview } from './stats.dto.js';
import {
  ChangeSeverity,
  ChangeStatus,
  ReportThreat,
  StatusQuery,
  Threat,
  ThreatPage,
  ThreatQuery,
  ThreatWithReports,
} from './threats.dto.js';
import { ThreatsService } from './threats.service.js';

/** A source of this form names an agent. */
const AGENT = 'agent:';

/** Only the agent itself, and who speaks for it, is the source `agent:<id>`. Other spellings of `agent:` would deceive a reader. */
function expectSource(principal: Principal, source: string): void {
  const looks = source
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[\p{Cf}\s]/gu, '');
  if (isOfService(looks)) expectAgent(principal, looks);
  if (!looks.startsWith(AGENT)) return;
  if (source.startsWith(AGENT)) expectAgent(principal, source.slice(AGENT.length));
  else
    throw faulty([
      { pointer: '/source', detail: 'must name an agent as `agent:<id>`', code: 'agent_source' },
    ]);
}
const ThreatId = (): MethodDecorator =>
  ApiParam({ name: 'id', description: 'The id of the threat, as the report returned it' });
/** Changes a threat. `what` is new in the answer. */
const ChangesThreat = (what: string): MethodDecorator =>
  applyDecorators(
    HttpCode(200),
    ...[Access('threats:write'), Conditional(), SendsETag(), ThreatId()],
    ApiOkResponse({ type: Threat, description: `The threat with its new ${what}` }),
    Problems(400, 404, 409, 412, 413, 415, 422),
    ProblemIf(
      409,
      'Or the life cycle does not allow it (`illegal_status_change`, `threat_closed`, `fingerprint_open`)',
    ),
  );

@ApiTags('threats')
@Controller('api/threats')
export class ThreatsController {
  constructor(private readonly threats: ThreatsService) {}

  @HealthRoute('Check whether threats can be reported and read')
  async health(): Promise<HealthAnswer> {
    return healthAnswer(await this.threats.health());
  }

  @Get()
  @Access('threats:read', 'list')
  @ApiOperation({
    summary: 'List threats',
    description:
      'Returns one page of threats, the last seen first. Several filters select the threats that match all of them. Without `?view=full` the `metadata` is left out. A page ends at 1 MiB. Closed threats are removed after BRAIN_THREATS_RETENTION_DAYS.',
  })
  @SendsPage(ThreatPage, 'threats')
  async list(@Query() query: ThreatQuery): Promise<ThreatPage> {
    const { rows, total, next } = await this.threats.list(query);
    return { threats: rows, total, next_cursor: next };
  }

  @Post()
  @Access('threats:report')
  @SendsETag()
  @SendsLocation('id')
  @ApiOperation({
    summary: 'Report a threat',
    description:
      'Creates an OPEN threat. If an open threat has the same type, source and fingerprint, the report counts as one more occurrence of that threat instead, and a higher severity raises its severity and publishes threat.escalated. A reporter with BRAIN_THREATS_MAX_OPEN open threats cannot create another one (409 `too_many_open_threats`).',
  })
  @SendsNew(Threat, 'The new threat')
  @ApiOkResponse({
    type: Threat,
    description: 'The open threat with this type, source and fingerprint, with one more occurrence',
  })
  @ProblemIf(409, 'Or this reporter has as many open threats as it may have (`too_many_open_threats`)')
  @ForeignAgent()
  async report(
    @Body() body: ReportThreat,
    @CurrentPrincipal() principal: Principal,
    @Idempotency() idempotency: IdempotencyKey | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Threat> {
    expectSource(principal, body.source);
    const { threat, created } = await this.threats.report(body, idempotency);
    response.status(created ? 201 : 200);
    return threat;
  }

  @Get('stats/overview')
  @Access('threats:read')
  @ApiOperation({
    summary: 'Count threats',
    description:
      'Counts all stored threats by severity and by status, and returns the mean time from the creation or last reopening of a threat to its mitigation.',
  })
  @ApiOkResponse({ type: ThreatOverview, description: 'The counts at the time of the answer' })
  async overview(): Promise<ThreatOverview> {
    return { stats: await this.threats.stats() };
  }

  @Get(':id')
  @SendsETag()
  @Access('threats:read')
  @ThreatId()
  @ApiOperation({
    summary: 'Read one threat',
    description:
      'Returns the threat with its last 20 reports. The ETag header carries its version for If-Match.',
  })
  @ApiOkResponse({ type: ThreatWithReports, description: 'The threat' })
  @Problems(404)
  async get(@Param('id') id: string): Promise<ThreatWithReports> {
    return this.threats.get(id);
  }

  @Delete(':id')
  @Access('threats:delete')
  @Conditional()
  @ThreatId()
  @ApiOperation({
    summary: 'Delete a threat',
    description:
      'Removes the threat with its reports, whatever its status. Its events stay in the log, and threat.deleted says who removed it.',
  })
  @SendsNothing('The threat is deleted', 404, 412)
  remove(@Param('id') id: string, @IfMatch() versions: Versions | undefined): Promise<void> {
    return this.threats.remove(id, versions);
  }

  @Post(':id/status')
  @ChangesThreat('status')
  @ApiOperation({
    summary: 'Change the status of a threat',
    description:
      'Moves the threat to another status, if the life cycle allows it; else the answer is 409. The status is given in the body or as `?status=`. A closed threat cannot be reopened while another open threat has its type, source and fingerprint.',
  })
  async changeStatus(
    @Param('id') id: string,
    @Body() body: ChangeStatus,
    @Query() query: StatusQuery,
    @IfMatch() versions: Versions | undefined,
  ): Promise<Threat> {
    const change = { ...body, status: requiredStatus(body.status, query.status, 'status') };
    return this.threats.changeStatus(id, change, versions);
  }

  @Post(':id/severity')
  @ChangesThreat('severity')
  @ApiOperation({
    summary: 'Change the severity of a threat',
    description:
      'Sets another severity. A higher severity also moves the threat to ESCALATED. The threat must be open: a closed threat keeps its severity until it is reopened.',
  })
  async changeSeverity(
    @Param('id') id: string,
    @Body() body: ChangeSeverity,
    @IfMatch() versions: Versions | undefined,
  ): Promise<Threat> {
    return this.threats.changeSeverity(id, body, versions);
  }
}
