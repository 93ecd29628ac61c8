import { Controller, Get, Headers, Inject, Optional, Query, Req, Res } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { ProblemIf, Problems } from '../../http/request.js';
import { Access, type PrincipalRequest } from '../../security/access.decorator.js';
import { AccessGuard } from '../../security/access.guard.js';
import { type BrainError, invalid } from '../../shared/errors.js';
import { EventLog, LOG_START, positionBefore } from '../../storage/event-log.js';
import { eventsOff } from '../log/events.controller.js';
import { StreamQuery } from '../log/events.dto.js';
import { READER_ID } from '../log/reader-id.js';
import { type Resumption, resumeFromId, resumeFromTime } from '../log/resume.js';
import { LiveStream } from './live-stream.js';

const PERMISSION = 'events:read';
const EXAMPLE = `id: 1735424567893-0
event: threat.detected
data: {"id":"evt_threat_1735424567890_k3v9x2ab","type":"threat.detected",…}

`;

@ApiTags('events')
@Controller('api/events/stream')
export class StreamController {
  constructor(
    @Inject(EventLog) private readonly log: EventLog,
    private readonly guard: AccessGuard,
    @Optional() @Inject(LiveStream) private readonly live?: LiveStream,
  ) {}

  @Get()
  @Access(PERMISSION)
  @ApiOperation({
    summary: 'Follow the events live',
    description:
      'Sends events as Server-Sent Events, in log order, as they are written. A client that names the last position it ' +
      'has, by `Last-Event-ID` or `last_event_id`, or a time by `since`, first gets the events after it. Where events ' +
      'are missing, a `gap` event has the reason and the positions. A comment every 15 seconds keeps the connection open.',
  })
  @ApiHeader({
    name: 'Last-Event-ID',
    required: false,
    description: 'The `id` of the last event that was received; the events after it are replayed first',
    schema: { type: 'string', examples: ['1735424567893-0'] },
  })
  @ApiOkResponse({
    description:
      '`id` is the position, for a minute after a failover with a history prefix; `event` is the type, `data` the ' +
      'envelope or the CloudEvent. A `gap` event says where events are missing',
    content: { 'text/event-stream': { schema: { type: 'string', example: EXAMPLE } } },
  })
  @Problems(404, 422)
  @ProblemIf(404, 'Or the installation keeps no events (`events_off`)')
  @ProblemIf(429, 'Or the key or the service has too many live streams (`too_many_streams`)')
  async follow(
    @Query() query: StreamQuery,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Req() request: PrincipalRequest,
    @Res() response: Response,
  ): Promise<void> {
    if (!this.live) throw eventsOff();
    // A client that reconnects sends a new header, but the query of its first request.
    const last = lastEventId || query.last_event_id;
    if (last !== undefined && !READER_ID.test(last)) throw noId();
    if (request.method === 'HEAD') {
      response.type('text/event-stream').end();
      return;
    }
    const { type, correlation_id, priority, source, subject, format = 'envelope' } = query;
    const reader = {
      principal: request.principal?.id ?? '',
      filter: { types: type, correlationId: correlation_id, priority, source, subject },
      format,
      admitted: () => this.guard.isStillAdmitted(request, PERMISSION),
    };
    await this.live.serve(reader, response, () => this.start(last, query.since));
  }

  /** Undefined where the reader wants only new events. */
  private async start(last: string | undefined, since: number | undefined): Promise<Resumption | undefined> {
    if (last !== undefined) return resumeFromId(this.log, last);
    return since === undefined ? undefined : resumeFromTime(this.log, placeBefore(since));
  }
}

/** The last position before every event of this time. */
function placeBefore(seconds: number): string {
  const ms = Math.ceil(seconds * 1000);
  return ms === 0 ? LOG_START : positionBefore(`${ms}-0`);
}

function noId(): BrainError {
  const detail = 'must be the id of an event of this stream, as it was sent, or 0-0 for the beginning';
  return invalid('Last-Event-ID is not the id of an event. Send the id of the last event, or 0-0.', [
    { pointer: '/last_event_id', detail, code: 'position' },
  ]);
}
