import { Controller, Get, Inject, Optional, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Problems } from '../http/request.js';
import { Access } from '../security/access.decorator.js';
import { BrainError } from '../shared/errors.js';
import { EventReader } from './event-reader.js';
import { EventPage, EventQuery } from './events.dto.js';

@ApiTags('events')
@Controller('api/events')
export class EventsController {
  constructor(@Optional() @Inject(EventReader) private readonly reader?: EventReader) {}

  @Get()
  @Access('events:read')
  @ApiOperation({ summary: 'Read the event log, filtered, in the order in which it was written' })
  @ApiOkResponse({ type: EventPage })
  @Problems(404, 422)
  async list(@Query() query: EventQuery): Promise<EventPage> {
    if (!this.reader) throw eventsOff();
    const { type, correlation_id, ...rest } = query;
    return (await this.reader.read({ ...rest, types: type, correlationId: correlation_id })) as EventPage;
  }
}

export function eventsOff(): BrainError {
  const detail = 'This installation runs with BRAIN_EVENTS=off and keeps no events.';
  return new BrainError('not_found', 'events_off', detail);
}
