import { Body, Controller, Get, Header, HttpCode, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { SendsPage } from '../http/answers.js';
import { healthAnswer } from '../http/health.js';
import { ForeignAgent, Idempotency, Idempotent, Problems } from '../http/request.js';
import { Access, CurrentPrincipal, PublicHealth } from '../security/access.decorator.js';
import { type Principal, permits, reportedAgent } from '../security/principal.js';
import type { IdempotencyKey } from '../storage/store.js';
import {
  ImmuneEventPage,
  ImmuneEventQuery,
  ImmuneHealth,
  ImmuneHealthQuery,
  ReportImmuneEvent,
} from './immune.dto.js';
import { ImmuneService } from './immune.service.js';

@ApiTags('immune')
@Controller('api/immune')
export class ImmuneController {
  constructor(private readonly immune: ImmuneService) {}

  @Get('health')
  @PublicHealth()
  @ApiOperation({
    summary: 'Read the health of the fleet',
    description:
      'Counts the immune events of the last minutes and rates them as healthy, degraded or critical. No key is needed, unless BRAIN_PUBLIC_HEALTH is off; without one the counts may be a second old, and only eight windows are counted in a second. The last events are included only with a key that has the permission immune:read.',
  })
  @ApiOkResponse({ type: ImmuneHealth, description: 'The status of the fleet and the counts behind it' })
  @Problems(422, 503)
  async health(
    @Query() { minutes }: ImmuneHealthQuery,
    @CurrentPrincipal() principal: Principal | undefined,
  ): Promise<ImmuneHealth> {
    healthAnswer(await this.immune.storeHealth());
    if (!principal) return this.immune.publicHealth(minutes);
    return this.immune.health(minutes, permits(principal.role, 'immune:read'));
  }

  @Get('events')
  @Access('immune:read', 'list')
  @ApiOperation({
    summary: 'List immune events',
    description:
      'Returns one page of immune events, the newest first. Several filters select the events that match all of them. Without `?view=full` the `meta` is left out. A page ends at 1 MiB. Old events are removed: BRAIN_IMMUNE_RETENTION_DAYS and BRAIN_IMMUNE_MAX_EVENTS set the limits.',
  })
  @SendsPage(ImmuneEventPage, 'immune events')
  async list(@Query() query: ImmuneEventQuery): Promise<ImmuneEventPage> {
    const { rows, total, next } = await this.immune.list(query);
    return { events: rows, total, next_cursor: next };
  }

  @Post('event')
  @HttpCode(200)
  @Access('immune:report')
  @Idempotent()
  // Nest sends a bare number as text/html.
  @Header('Content-Type', 'application/json; charset=utf-8')
  @ApiOperation({
    summary: 'Report an immune event',
    description:
      'Stores one event and returns its id as a bare integer. The service sets the id and the time. Every report publishes immune.event_published, and a report with severity CRITICAL also publishes immune.critical_event.',
  })
  @ApiOkResponse({ schema: { type: 'integer', example: 4711 }, description: 'The id of the event' })
  @Problems(400, 413, 415, 422)
  @ForeignAgent()
  report(
    @Body() body: ReportImmuneEvent,
    @CurrentPrincipal() principal: Principal,
    @Idempotency() idempotency: IdempotencyKey | undefined,
  ): Promise<number> {
    const agent_id = reportedAgent(principal, body.agent_id);
    return this.immune.report({ ...body, agent_id }, idempotency);
  }
}
