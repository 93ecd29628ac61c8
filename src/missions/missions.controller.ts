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
  Query,
} from '@nestjs/common';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { SendsNew, SendsNothing, SendsPage } from '../http/answers.js';
import { Conditional, SendsETag, versionsIn } from '../http/etag.js';
import { type HealthAnswer, HealthRoute, healthAnswer } from '../http/health.js';
import { ForeignAgent, Idempotency, PageQuery, ProblemIf, Problems } from '../http/request.js';
import { SendsLocation } from '../http/response-headers.js';
import { Access, CurrentPrincipal, type KnownRequest } from '../security/access.decorator.js';
import { asAgent, type Principal, permits, speaksFor } from '../security/principal.js';
import { requiredStatus } from '../shared/status-query.js';
import type { IdempotencyKey } from '../storage/store.js';
import type { Caller } from './access.js';
import { MissionLog, NewLogEntry } from './log.dto.js';
import {
  Accepted,
  ChangeMissionStatus,
  Mission,
  MissionPage,
  MissionQuery,
  MissionStatusQuery,
  NewMission,
} from './missions.dto.js';
import { type ChangeBy, MissionsService } from './missions.service.js';
import { MissionOverview } from './stats.dto.js';

const MissionId = (): MethodDecorator => ApiParam({ name: 'id', description: 'The id of the mission' });
const OwnMissionsOnly = (): MethodDecorator =>
  ProblemIf(403, 'Or it is the mission of another agent (`not_your_mission`)');
/** Makes a mission due. */
const Queues = (refused: string): MethodDecorator =>
  applyDecorators(
    HttpCode(202),
    ...[OwnMissionsOnly(), Access('missions:execute'), Conditional(), MissionId()],
    ApiAcceptedResponse({ type: Accepted, description: 'The mission is due' }),
    Problems(404, 409, 412),
    ProblemIf(409, refused),
  );
/** The caller, and what it may do with the missions of others. */
const callerOf = ({ principal }: KnownRequest): Caller => ({
  id: principal.id,
  role: principal.role,
  mayDelegate: permits(principal.role, 'missions:delegate'),
  mayReadAll: permits(principal.role, 'missions:read_all'),
  mayPrioritize: permits(principal.role, 'missions:prioritize'),
  seesSecrets: permits(principal.role, 'missions:read_secrets'),
  speaksFor: (agentId) => speaksFor(principal, agentId),
});
const CurrentCaller = createParamDecorator(
  (_: unknown, context: ExecutionContext): Caller =>
    callerOf(context.switchToHttp().getRequest<KnownRequest>()),
);
/** The caller, and the versions that the mission may have. */
const CurrentChange = createParamDecorator((_: unknown, context: ExecutionContext): ChangeBy => {
  const request = context.switchToHttp().getRequest<KnownRequest>();
  return { ...callerOf(request), versions: versionsIn(request) };
});
/** The agent of a new mission. A key that lists all agents makes missions as itself, if they name no other. */
function agentOf(
  principal: Principal,
  { agent_id, agent_role }: NewMission,
): Pick<NewMission, 'agent_id' | 'agent_role'> {
  const { id, role, agents, agentRoles } = principal;
  return asAgent(principal, {
    agent_id: agent_id ?? agents.first ?? (agents.hasAll ? id : undefined),
    agent_role: agent_role ?? agentRoles.first ?? (agentRoles.hasAll ? role : undefined),
  });
}
const ACCEPTED: Accepted = { status: 'accepted' };

@ApiTags('missions')
@Controller('api/missions')
export class MissionsController {
  constructor(private readonly missions: MissionsService) {}

  @HealthRoute('Check whether missions can be created and run')
  async health(): Promise<HealthAnswer> {
    return healthAnswer(await this.missions.health());
  }

  @Get()
  @OwnMissionsOnly()
  @Access('missions:read', 'list')
  @ApiOperation({
    summary: 'List missions',
    description:
      'Returns one page of missions, the newest first. Several filters select the missions that match all of them. An agent lists the missions that it made, or with `agent_id` those of one of its agents. Without `?view=full` the `data`, `steps` and `result` are left out. Large step results are always null in lists; read the mission by its id to get them. A page ends at 1 MiB.',
  })
  @SendsPage(MissionPage, 'missions')
  async list(@Query() query: MissionQuery, @CurrentCaller() caller: Caller): Promise<MissionPage> {
    const { rows, total, next } = await this.missions.list(query, caller);
    return { missions: rows, total, next_cursor: next };
  }

  @Post()
  @ForeignAgent()
  @ProblemIf(
    403,
    'Or the priority is CRITICAL and the permission missions:prioritize is missing (`priority_not_allowed`)',
  )
  @Access('missions:write')
  @SendsETag()
  @SendsLocation('id')
  @ApiOperation({
    summary: 'Create a mission',
    description:
      'Creates a PENDING mission. Its steps start with `execute`. All faults in all steps are reported at once. The mission asks the policies as `agent_id` and `agent_role`, which the key of the caller must list. Left out, they are the first exact entries of its lists; a key that lists all agents is its own agent.',
  })
  @SendsNew(Mission, 'The new mission')
  @ProblemIf(
    409,
    'Or the id is taken (`mission_exists`), or the principal has as many PENDING missions as it may have (`too_many_missions`)',
  )
  async create(
    @Body() body: NewMission,
    @CurrentPrincipal() principal: Principal,
    @CurrentCaller() caller: Caller,
    @Idempotency() idempotency: IdempotencyKey | undefined,
  ): Promise<Mission> {
    return this.missions.create({ ...body, ...agentOf(principal, body) }, caller, idempotency);
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
  @SendsETag()
  @OwnMissionsOnly()
  @Access('missions:read')
  @MissionId()
  @ApiOperation({
    summary: 'Read one mission',
    description:
      'Returns the mission. A completed mission includes the results of all steps, up to 16 MiB. The ETag header carries its version for If-Match.',
  })
  @ApiOkResponse({ type: Mission, description: 'The mission' })
  @Problems(404)
  async get(@Param('id') id: string, @CurrentCaller() caller: Caller): Promise<Mission> {
    return this.missions.get(id, caller);
  }

  @Delete(':id')
  @Access('missions:delete')
  @Conditional()
  @MissionId()
  @ApiOperation({
    summary: 'Delete a mission',
    description:
      'Removes the mission with its log and results. Its events stay in the event log. A mission that is RUNNING or due must be cancelled first.',
  })
  @SendsNothing('The mission is deleted', 404, 409, 412)
  @ProblemIf(409, 'Or the mission is RUNNING or due: cancel it first (`mission_active`)')
  async delete(@Param('id') id: string, @CurrentChange() by: ChangeBy): Promise<void> {
    await this.missions.delete(id, by);
  }

  @Post(':id/status')
  @SendsETag()
  @OwnMissionsOnly()
  @HttpCode(200)
  @Access('missions:write')
  @Conditional()
  @MissionId()
  @ApiOperation({
    summary: 'Change the status of a mission',
    description:
      'Cancels a mission, or records the progress of a mission that an outside program runs. Starts no steps. While a worker of this service runs the mission, only CANCELLED is allowed. The status is given in the body or as `?mission_status=`.',
  })
  @ApiOkResponse({ type: Mission, description: 'The mission with its new status' })
  @Problems(400, 404, 409, 412, 413, 415, 422)
  @ProblemIf(
    409,
    'Or the life cycle does not allow it (`illegal_status_change`), or a worker runs the mission (`mission_held`)',
  )
  async changeStatus(
    @Param('id') id: string,
    @Body() body: ChangeMissionStatus,
    @Query() query: MissionStatusQuery,
    @CurrentChange() by: ChangeBy,
  ): Promise<Mission> {
    const change = {
      status: requiredStatus(body.status, query.mission_status, 'mission_status'),
      reason: body.reason,
    };
    return this.missions.changeStatus(id, change, by);
  }

  @Post(':id/log')
  @OwnMissionsOnly()
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
    @CurrentChange() by: ChangeBy,
  ): Promise<Accepted> {
    await this.missions.log(id, body, by);
    return ACCEPTED;
  }

  @Get(':id/log')
  @OwnMissionsOnly()
  @Access('missions:read')
  @MissionId()
  @ApiOperation({
    summary: 'Read the log of a mission',
    description:
      'Returns one page of log entries, the oldest first. If entries were dropped because the log was full, the last entry says how many.',
  })
  @SendsPage(MissionLog, 'log entries')
  @Problems(404)
  async entries(
    @Param('id') id: string,
    @Query() page: PageQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<MissionLog> {
    const { log, next } = await this.missions.entries(id, page, caller);
    return { mission_id: id, log, next_cursor: next };
  }

  @Post(':id/execute')
  @Queues('Or the mission is not pending (`not_executable`)')
  @ApiOperation({
    summary: 'Execute a mission',
    description:
      'Makes a PENDING mission due. A worker of this service runs its steps, by priority and then by the time of the call. The policies are asked before each step. A second call changes nothing while the mission is due.',
  })
  execute(@Param('id') id: string, @CurrentChange() by: ChangeBy): Promise<Accepted> {
    return this.missions.execute(id, by).then(() => ACCEPTED);
  }

  @Post(':id/retry')
  @Queues('Or the mission has not failed (`not_retryable`)')
  @ApiOperation({
    summary: 'Retry a failed mission',
    description:
      'Moves a FAILED mission back to PENDING and makes it due. It continues at the step that failed; completed steps are not run again. The step gets a new Idempotency-Key.',
  })
  retry(@Param('id') id: string, @CurrentChange() by: ChangeBy): Promise<Accepted> {
    return this.missions.retry(id, by).then(() => ACCEPTED);
  }
}
