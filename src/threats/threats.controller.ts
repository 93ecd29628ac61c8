import { Body, Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { HealthAnswer, healthOf } from '../http/health.js';
import { Conditional, Idempotency, Idempotent, IfMatch, Problems, withETag } from '../http/request.js';
import { Access, Public } from '../security/access.decorator.js';
import { invalid } from '../shared/errors.js';
import type { IdempotencyKey } from '../storage/store.js';
import {
  ChangeSeverity,
  ChangeStatus,
  ReportThreat,
  StatusQuery,
  Threat,
  ThreatOverview,
  ThreatPage,
  ThreatQuery,
} from './threats.dto.js';
import type { ThreatStatus } from './threats.lifecycle.js';
import { ThreatsService } from './threats.service.js';

@ApiTags('threats')
@Controller('api/threats')
export class ThreatsController {
  constructor(private readonly threats: ThreatsService) {}

  @Get('health')
  @Public()
  @ApiOperation({ summary: 'Whether threats can be reported and read' })
  @ApiOkResponse({ type: HealthAnswer })
  @Problems(503)
  async health(): Promise<HealthAnswer> {
    return healthOf(await this.threats.health());
  }

  @Get()
  @Access('threats:read')
  @ApiOperation({ summary: 'List threats, the last seen first' })
  @ApiOkResponse({ type: ThreatPage })
  @Problems(422)
  async list(@Query() query: ThreatQuery): Promise<ThreatPage> {
    const { rows, total, next } = await this.threats.list(query);
    return { threats: rows, total, next_cursor: next };
  }

  @Post()
  @Access('threats:report')
  @Idempotent()
  @ApiOperation({
    summary: 'Report a threat; the fingerprint of an open one counts as one more occurrence of it',
  })
  @ApiCreatedResponse({ type: Threat, description: 'A new threat' })
  @ApiOkResponse({ type: Threat, description: 'The open threat with this fingerprint, seen once more' })
  @Problems(400, 413, 415, 422)
  async report(
    @Body() body: ReportThreat,
    @Idempotency() idempotency: IdempotencyKey | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Threat> {
    const { threat, created } = await this.threats.report(body, idempotency);
    response.status(created ? 201 : 200);
    return withETag(response, threat);
  }

  @Get('stats/overview')
  @Access('threats:read')
  @ApiOperation({
    summary: 'How many threats there are, by severity and status, and how fast they are mitigated',
  })
  @ApiOkResponse({ type: ThreatOverview })
  async overview(): Promise<ThreatOverview> {
    return { stats: await this.threats.stats() };
  }

  @Get(':id')
  @Access('threats:read')
  @ApiOperation({ summary: 'Read one threat' })
  @ApiOkResponse({ type: Threat })
  @Problems(404)
  async get(@Param('id') id: string, @Res({ passthrough: true }) response: Response): Promise<Threat> {
    return withETag(response, await this.threats.get(id));
  }

  @Post(':id/status')
  @HttpCode(200)
  @Access('threats:write')
  @Conditional()
  @ApiOperation({ summary: 'Move a threat to another status' })
  @ApiOkResponse({ type: Threat })
  @Problems(400, 404, 409, 412, 413, 415, 422)
  async changeStatus(
    @Param('id') id: string,
    @Body() body: ChangeStatus,
    @Query() query: StatusQuery,
    @IfMatch() version: number | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Threat> {
    const change = { ...body, status: theStatus(body.status, query.status) };
    return withETag(response, await this.threats.changeStatus(id, change, version));
  }

  @Post(':id/severity')
  @HttpCode(200)
  @Access('threats:write')
  @Conditional()
  @ApiOperation({ summary: 'Change the severity of an open threat; a rise escalates it' })
  @ApiOkResponse({ type: Threat })
  @Problems(400, 404, 409, 412, 413, 415, 422)
  async changeSeverity(
    @Param('id') id: string,
    @Body() body: ChangeSeverity,
    @IfMatch() version: number | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Threat> {
    return withETag(response, await this.threats.changeSeverity(id, body, version));
  }
}

function theStatus(inBody: ThreatStatus | undefined, inQuery: ThreatStatus | undefined): ThreatStatus {
  const status = inBody ?? inQuery;
  const detail = 'is required, in the body or as `?status=`, and must be the same where it stands in both';
  if (status !== undefined && (inQuery ?? status) === status) return status;
  throw invalid('The request does not say to which status.', [
    { pointer: '/status', detail, code: 'required' },
  ]);
}
