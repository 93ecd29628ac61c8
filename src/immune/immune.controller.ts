import { Body, Controller, Get, Header, HttpCode, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { healthOf } from '../http/health.js';
import { Idempotency, Idempotent, Problems } from '../http/request.js';
import { Access, CurrentPrincipal, Public } from '../security/access.decorator.js';
import { type Principal, permits } from '../security/principal.js';
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
  @Public()
  @ApiOperation({
    summary: 'How the fleet feels: the numbers for everybody, the last events with a key that may read them',
  })
  @ApiOkResponse({ type: ImmuneHealth })
  @Problems(422, 503)
  async health(
    @Query() { minutes }: ImmuneHealthQuery,
    @CurrentPrincipal() principal: Principal | undefined,
  ): Promise<ImmuneHealth> {
    healthOf(await this.immune.storeHealth());
    return this.immune.health(minutes, principal !== undefined && permits(principal.role, 'immune:read'));
  }

  @Get('events')
  @Access('immune:read')
  @ApiOperation({ summary: 'List immune events, the newest first' })
  @ApiOkResponse({ type: ImmuneEventPage })
  @Problems(422)
  async list(@Query() query: ImmuneEventQuery): Promise<ImmuneEventPage> {
    const { rows, total, next } = await this.immune.list(query);
    return { events: rows, total, next_cursor: next };
  }

  @Post('event')
  @HttpCode(200)
  @Access('immune:report')
  @Idempotent()
  // Nest would send a bare number as text.
  @Header('Content-Type', 'application/json; charset=utf-8')
  @ApiOperation({ summary: 'Report an immune event; the answer is its id' })
  @ApiOkResponse({ schema: { type: 'integer', example: 4711 }, description: 'The id of the event' })
  @Problems(400, 413, 415, 422)
  report(
    @Body() body: ReportImmuneEvent,
    @Idempotency() idempotency: IdempotencyKey | undefined,
  ): Promise<number> {
    return this.immune.report(body, idempotency);
  }
}
