import { Body, Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiCreatedResponse,
  ApiOkResponse,
  ApiOperation,
  ApiTags,
} from '@nestjs/swagger';
import type { Response } from 'express';
import { HealthAnswer, healthOf } from '../http/health.js';
import {
  Conditional,
  Idempotency,
  Idempotent,
  IfMatch,
  PageQuery,
  Problems,
  withETag,
} from '../http/request.js';
import { Access, CurrentPrincipal, Public } from '../security/access.decorator.js';
import { type Principal, permits } from '../security/principal.js';
import { invalid } from '../shared/errors.js';
import type { IdempotencyKey } from '../storage/store.js';
import {
  Accepted,
  ChangeMissionStatus,
  Mission,
  MissionLog,
  MissionOverview,
  MissionPage,
  MissionQuery,
  MissionStatusQuery,
  NewLogEntry,
  NewMission,
} from './missions.dto.js';
import type { MissionStatus } from './missions.lifecycle.js';
import { type Asker, MissionsService } from './missions.service.js';

@ApiTags('missions')
@Controller('api/missions')
export class MissionsController {
  constructor(private readonly missions: MissionsService) {}

  @Get('health')
  @Public()
  @ApiOperation({ summary: 'Whether missions can be made and run' })
  @ApiOkResponse({ type: HealthAnswer })
  @Problems(503)
  async health(): Promise<HealthAnswer> {
    return healthOf(await this.missions.health());
  }

  @Get()
  @Access('missions:read')
  @ApiOperation({ summary: 'List missions, the newest first' })
  @ApiOkResponse({ type: MissionPage })
  @Problems(422)
  async list(@Query() query: MissionQuery): Promise<MissionPage> {
    const { rows, total, next } = await this.missions.list(query);
    return { missions: rows, total, next_cursor: next };
  }

  @Post()
  @Access('missions:write')
  @Idempotent()
  @ApiOperation({ summary: 'Make a mission; it begins with `execute`' })
  @ApiCreatedResponse({ type: Mission })
  @Problems(400, 409, 413, 415, 422)
  async create(
    @Body() body: NewMission,
    @CurrentPrincipal() principal: Principal,
    @Idempotency() idempotency: IdempotencyKey | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Mission> {
    return withETag(response, await this.missions.create(body, askerOf(principal), idempotency));
  }

  @Get('stats/overview')
  @Access('missions:read')
  @ApiOperation({ summary: 'How many missions there are, by status' })
  @ApiOkResponse({ type: MissionOverview })
  async overview(): Promise<MissionOverview> {
    return { stats: await this.missions.stats() };
  }

  @Get(':id')
  @Access('missions:read')
  @ApiOperation({ summary: 'Read one mission' })
  @ApiOkResponse({ type: Mission })
  @Problems(404)
  async get(@Param('id') id: string, @Res({ passthrough: true }) response: Response): Promise<Mission> {
    return withETag(response, await this.missions.get(id));
  }

  @Post(':id/status')
  @HttpCode(200)
  @Access('missions:write')
  @Conditional()
  @ApiOperation({ summary: 'Record what an outside worker does, or cancel; it starts nothing' })
  @ApiOkResponse({ type: Mission })
  @Problems(400, 404, 409, 412, 413, 415, 422)
  async changeStatus(
    @Param('id') id: string,
    @Body() body: ChangeMissionStatus,
    @Query() query: MissionStatusQuery,
    @CurrentPrincipal() principal: Principal,
    @IfMatch() version: number | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Mission> {
    const change = { status: theStatus(body.status, query.mission_status), reason: body.reason };
    return withETag(response, await this.missions.changeStatus(id, change, askerOf(principal), version));
  }

  @Post(':id/log')
  @HttpCode(202)
  @Access('missions:write')
  @Conditional()
  @ApiOperation({ summary: 'Add a line to the log of a mission' })
  @ApiAcceptedResponse({ type: Accepted })
  @Problems(400, 404, 412, 413, 415, 422)
  async log(
    @Param('id') id: string,
    @Body() body: NewLogEntry,
    @CurrentPrincipal() principal: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Accepted> {
    await this.missions.log(id, body, askerOf(principal), version);
    return { status: 'accepted' };
  }

  @Get(':id/log')
  @Access('missions:read')
  @ApiOperation({ summary: 'Read the log of a mission, oldest first' })
  @ApiOkResponse({ type: MissionLog })
  @Problems(404, 422)
  async entries(@Param('id') id: string, @Query() page: PageQuery): Promise<MissionLog> {
    const { log, next } = await this.missions.entries(id, page);
    return { mission_id: id, log, next_cursor: next };
  }

  @Post(':id/execute')
  @HttpCode(202)
  @Access('missions:execute')
  @Conditional()
  @ApiOperation({ summary: 'Put a mission into the queue; a worker of this service runs its steps' })
  @ApiAcceptedResponse({ type: Accepted })
  @Problems(404, 409, 412)
  async execute(
    @Param('id') id: string,
    @CurrentPrincipal() principal: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Accepted> {
    await this.missions.execute(id, askerOf(principal), version);
    return { status: 'accepted' };
  }

  @Post(':id/retry')
  @HttpCode(202)
  @Access('missions:execute')
  @Conditional()
  @ApiOperation({ summary: 'Let a failed mission go on from the step that failed' })
  @ApiAcceptedResponse({ type: Accepted })
  @Problems(404, 409, 412)
  async retry(
    @Param('id') id: string,
    @CurrentPrincipal() principal: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Accepted> {
    await this.missions.retry(id, askerOf(principal), version);
    return { status: 'accepted' };
  }
}

function askerOf({ id, role }: Principal): Asker {
  return { id, role, mayDelegate: permits(role, 'missions:delegate') };
}

function theStatus(inBody: MissionStatus | undefined, inQuery: MissionStatus | undefined): MissionStatus {
  const status = inBody ?? inQuery;
  const detail =
    'is required, in the body or as `?mission_status=`, and must be the same where it stands in both';
  if (status !== undefined && (inQuery ?? status) === status) return status;
  throw invalid('The request does not say to which status.', [
    { pointer: '/status', detail, code: 'required' },
  ]);
}
