import { Body, Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import {
  ApiAcceptedResponse,
  ApiCreatedResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
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
import { requiredStatus } from '../shared/status-query.js';
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
import { type Caller, MissionsService } from './missions.service.js';

const MissionId = (): MethodDecorator => ApiParam({ name: 'id', description: 'The id of the mission' });

@ApiTags('missions')
@Controller('api/missions')
export class MissionsController {
  constructor(private readonly missions: MissionsService) {}

  @Get('health')
  @Public()
  @ApiOperation({
    summary: 'Check whether missions can be created and run',
    description: 'Checks the store. No key is needed.',
  })
  @ApiOkResponse({ type: HealthAnswer, description: 'The store works' })
  @Problems(503)
  async health(): Promise<HealthAnswer> {
    return healthOf(await this.missions.health());
  }

  @Get()
  @Access('missions:read')
  @ApiOperation({
    summary: 'List missions',
    description:
      'Returns one page of missions, the newest first. Several filters select the missions that match all of them. Large step results are null in lists; read the mission by its id to get them.',
  })
  @ApiOkResponse({ type: MissionPage, description: 'One page of missions' })
  @Problems(422)
  async list(@Query() query: MissionQuery): Promise<MissionPage> {
    const { rows, total, next } = await this.missions.list(query);
    return { missions: rows, total, next_cursor: next };
  }

  @Post()
  @Access('missions:write')
  @Idempotent()
  @ApiOperation({
    summary: 'Create a mission',
    description:
      'Creates a PENDING mission. Its steps start with `execute`. All faults in all steps are reported at once. The mission asks the policies as the caller, unless agent_id or agent_role name another agent; that needs the permission missions:delegate.',
  })
  @ApiCreatedResponse({ type: Mission, description: 'The new mission' })
  @Problems(400, 409, 413, 415, 422)
  async create(
    @Body() body: NewMission,
    @CurrentPrincipal() principal: Principal,
    @Idempotency() idempotency: IdempotencyKey | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Mission> {
    return withETag(response, await this.missions.create(body, callerOf(principal), idempotency));
  }

  @Get('stats/overview')
  @Access('missions:read')
  @ApiOperation({
    summary: 'Count missions',
    description: 'Counts all stored missions by status.',
  })
  @ApiOkResponse({ type: MissionOverview, description: 'The counts at the time of the answer' })
  async overview(): Promise<MissionOverview> {
    return { stats: await this.missions.stats() };
  }

  @Get(':id')
  @Access('missions:read')
  @MissionId()
  @ApiOperation({
    summary: 'Read one mission',
    description:
      'Returns the mission. A completed mission includes the results of all steps, up to 16 MiB. The ETag header carries its version for If-Match.',
  })
  @ApiOkResponse({ type: Mission, description: 'The mission' })
  @Problems(404)
  async get(@Param('id') id: string, @Res({ passthrough: true }) response: Response): Promise<Mission> {
    return withETag(response, await this.missions.get(id));
  }

  @Post(':id/status')
  @HttpCode(200)
  @Access('missions:write')
  @Conditional()
  @MissionId()
  @ApiOperation({
    summary: 'Change the status of a mission',
    description:
      'Cancels a mission, or records the progress of a mission that an external worker runs. Starts no steps. While a worker of this service runs the mission, only CANCELLED is allowed. The status is given in the body or as `?mission_status=`.',
  })
  @ApiOkResponse({ type: Mission, description: 'The mission with its new status' })
  @Problems(400, 404, 409, 412, 413, 415, 422)
  async changeStatus(
    @Param('id') id: string,
    @Body() body: ChangeMissionStatus,
    @Query() query: MissionStatusQuery,
    @CurrentPrincipal() principal: Principal,
    @IfMatch() version: number | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Mission> {
    const change = {
      status: requiredStatus(body.status, query.mission_status, 'mission_status'),
      reason: body.reason,
    };
    return withETag(response, await this.missions.changeStatus(id, change, callerOf(principal), version));
  }

  @Post(':id/log')
  @HttpCode(202)
  @Access('missions:write')
  @Conditional()
  @MissionId()
  @ApiOperation({
    summary: 'Add an entry to the log of a mission',
    description:
      'Appends one entry and publishes mission.log_appended. A full log (10,000 entries or 8 MiB) counts and drops further entries.',
  })
  @ApiAcceptedResponse({
    type: Accepted,
    description: 'The entry is stored, or dropped because the log is full',
  })
  @Problems(400, 404, 412, 413, 415, 422)
  async log(
    @Param('id') id: string,
    @Body() body: NewLogEntry,
    @CurrentPrincipal() principal: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Accepted> {
    await this.missions.log(id, body, callerOf(principal), version);
    return { status: 'accepted' };
  }

  @Get(':id/log')
  @Access('missions:read')
  @MissionId()
  @ApiOperation({
    summary: 'Read the log of a mission',
    description:
      'Returns one page of log entries, the oldest first. If entries were dropped because the log was full, the last entry says how many.',
  })
  @ApiOkResponse({ type: MissionLog, description: 'One page of log entries' })
  @Problems(404, 422)
  async entries(@Param('id') id: string, @Query() page: PageQuery): Promise<MissionLog> {
    const { log, next } = await this.missions.entries(id, page);
    return { mission_id: id, log, next_cursor: next };
  }

  @Post(':id/execute')
  @HttpCode(202)
  @Access('missions:execute')
  @Conditional()
  @MissionId()
  @ApiOperation({
    summary: 'Execute a mission',
    description:
      'Puts a PENDING mission into the queue. A worker of this service runs its steps, by priority and then by the time of the call. The policies are asked before each step. A mission that is already in the queue keeps its place.',
  })
  @ApiAcceptedResponse({ type: Accepted, description: 'The mission is in the queue' })
  @Problems(404, 409, 412)
  async execute(
    @Param('id') id: string,
    @CurrentPrincipal() principal: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Accepted> {
    await this.missions.execute(id, callerOf(principal), version);
    return { status: 'accepted' };
  }

  @Post(':id/retry')
  @HttpCode(202)
  @Access('missions:execute')
  @Conditional()
  @MissionId()
  @ApiOperation({
    summary: 'Retry a failed mission',
    description:
      'Moves a FAILED mission back to PENDING and into the queue. It continues at the step that failed; completed steps are not run again. The step gets a new Idempotency-Key.',
  })
  @ApiAcceptedResponse({ type: Accepted, description: 'The mission is in the queue' })
  @Problems(404, 409, 412)
  async retry(
    @Param('id') id: string,
    @CurrentPrincipal() principal: Principal,
    @IfMatch() version: number | undefined,
  ): Promise<Accepted> {
    await this.missions.retry(id, callerOf(principal), version);
    return { status: 'accepted' };
  }
}

function callerOf({ id, role }: Principal): Caller {
  return { id, role, mayDelegate: permits(role, 'missions:delegate') };
}
