import { Controller, Get, Inject, Optional, Query, Req, Res } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { ProblemIf, Problems } from '../../http/request.js';
import { Access } from '../../security/access.decorator.js';
import { BrainError } from '../../shared/errors.js';
import { CloudEvent } from './cloud-event.dto.js';
import { CLOUD_EVENTS, cloudEvent } from './cloud-event.js';
import { EventPage, EventQuery } from './events.dto.js';
import { EventReader } from './reader.js';

@ApiTags('events')
@Controller('api/events')
export class EventsController {
  constructor(@Optional() @Inject(EventReader) private readonly reader?: EventReader) {}

  @Get()
  @Access('events:read', 'list')
  @ApiOperation({
    summary: 'Read the event log',
    description:
      'Returns a page of stored events in log order, newest or oldest first. `subject` and `correlation_id` use an index. ' +
      'Other filters read along the log, at most 2,000 events for a page, and a page ends at 1 MiB. So a page may have fewer ' +
      'events than `limit` and still have a `next_cursor`.',
  })
  @ApiExtraModels(EventPage, CloudEvent)
  @ApiOkResponse({
    description: 'A page of envelopes; or a list of CloudEvents 1.0, with the next page in the header `Link`',
    headers: { Link: { description: 'The URL of the next page of CloudEvents', schema: { type: 'string' } } },
    content: {
      'application/json': { schema: { $ref: getSchemaPath(EventPage) } },
      [CLOUD_EVENTS]: { schema: { type: 'array', items: { $ref: getSchemaPath(CloudEvent) } } },
    },
  })
  @Problems(404, 422)
  @ProblemIf(404, 'Or the installation keeps no events (`events_off`)')
  async list(
    @Query() query: EventQuery,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<EventPage | CloudEvent[]> {
    if (!this.reader) throw eventsOff();
    const { type, correlation_id, format = formatOf(request), ...rest } = query;
    const page = await this.reader.read({ ...rest, types: type, correlationId: correlation_id });
    response.setHeader('Vary', 'Accept');
    if (format === 'envelope') return page as EventPage;
    response.setHeader('Content-Type', CLOUD_EVENTS);
    if (page.next_cursor !== null) response.setHeader('Link', linkTo(request, page.next_cursor));
    return page.events.map(cloudEvent);
  }
}

/** CloudEvents are sent only if `Accept` names them; for any other value, `*` included, it is the envelope. */
function formatOf(request: Request): 'envelope' | 'cloudevents' {
  return request.accepts('application/json', CLOUD_EVENTS) === CLOUD_EVENTS ? 'cloudevents' : 'envelope';
}

function linkTo({ originalUrl }: Request, cursor: string): string {
  const [path = '', query] = originalUrl.split('?');
  const next = new URLSearchParams(query);
  next.set('cursor', cursor);
  return `<${path}?${next.toString()}>; rel="next"`;
}

export function eventsOff(): BrainError {
  const detail =
    'This installation runs with BRAIN_EVENTS=off and keeps no events. Set BRAIN_EVENTS=on and restart it.';
  return new BrainError('not_found', 'events_off', detail);
}
