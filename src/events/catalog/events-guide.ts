/** The parts of EVENTS.md that are not made from the definitions. */

export const HEAD = `# Events

Every fact of the control plane is one event in one log. If events are missing from the log, another event reports it.
This page is made from the code (\`npm run docs:events\`); do not edit it by hand. Tests compare it with the code and send
its requests.

There are three ways to read the log:

| Way | For | |
|---|---|---|
| [The list](#the-list) | past events: looking back, auditing, counting | \`GET /api/events\` |
| [The live stream](#the-live-stream) | the events that the client has missed, then new ones | \`GET /api/events/stream\` |
| [In code](#in-code) | a domain of this service that reacts to another | \`@OnEvent('threat.*')\` |

A program can load the content of this page in two ways: \`GET /api/events/catalog\` has the JSON Schema, an example, the
priority and the consumers of every type, and \`/asyncapi.json\` ([asyncapi.json](asyncapi.json)) has the same as AsyncAPI
3.0.

\`\`\`sh
curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/api/events/catalog
curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/asyncapi.json
\`\`\`

## The envelope

\`\`\`json
{"id": "evt_threat_1735424567890_k3v9x2ab", "type": "threat.detected", "source": "threat_service", "target": null,
 "timestamp": 1735424567.89, "payload": {}, "meta": {"correlation_id": null, "server_request_id": null,
 "actor": {"id": "key_8vzn7ryx3d0q", "role": "operator", "name": "ops"}, "version": "1.0", "schema_version": 1}}
\`\`\`

\`timestamp\` is the time at which it happened. Readers of the API also get \`position\`: where the event is in the
log. Events are ordered by their position, no matter which replica wrote them. \`meta.correlation_id\` is the
\`X-Correlation-ID\` of the request that caused the event; without that header it is the trace id of the \`traceparent\`, or
else the request id. All events that one request caused have the same one.

\`meta.server_request_id\` is the id that the service made for that request. A client chooses \`X-Correlation-ID\` and \`X-Request-ID\`,
so two requests can have the same ones; no client chooses this one. The log of the service has it under the same name. It is null
where no request caused the event, as in the run of a mission, and missing in events of earlier releases.

\`meta.actor\` is the principal that caused the event, by its key. For the run of a mission it is whoever started the mission.
What the service does by itself has the id \`brain:<part>\`, such as \`brain:event\`, and the role \`service\`. The actor is what the
service has checked. \`agent_id\` in a payload is whom the caller spoke for, and the correlation id is what the caller sent.
Decisions also have \`asked_by\`: the id of the principal that asked. Events of earlier releases have no actor.

A payload has the fields of its schema and no others. A change of the fields raises \`meta.schema_version\`. There are two
exceptions. A payload that cannot be serialized is replaced by \`{"unserializable": reason}\`. The values that \`BRAIN_MASK\`
names are replaced by \`"[masked]"\` before the event is written.

## The promises

- An event about a change of state is part of the commit of that change: both are stored, or neither.
- Publishing never delays a request and never makes it fail. With \`BRAIN_EVENTS=off\` every domain behaves the same.
- An event without a change of state (a decision) is in the log after 5 ms at most. While the log cannot be reached, 50,000
  events or 64 MiB wait in memory, of one principal half of that at most. Decisions that do not fit are summed up in
  \`policy.decisions_summed\`. Other events that do not fit are counted: once the log can be reached again, the first thing
  written is a \`stream.gap\` with the number of missing events of each type.
- A batch whose answer was lost is sent again and applied once. If the log has not answered for 23 hours, a \`stream.gap\`
  (\`unanswered\`) says that the events of the batch may be missing. So an event id is in the log once.
- Each running process has a process record in the store. A process that ends without writing its buffer leaves its record,
  and the next start, or another replica, reports it by a \`stream.gap\`. A process that is paused, or has no connection to
  Redis for less than two minutes, does not count as ended.
- After a failover that took events back, each process that may have lost events of its own reports it by a \`stream.gap\`,
  also if the old master continued to take writes. The gaps cover the \`timestamp\` of every event that this service lost.
- The log has two tiers, which readers see as one sequence. When the recent tier has more than \`BRAIN_EVENTS_MAX_LENGTH\` events,
  its oldest decisions are removed, and its other oldest events move into the evidence tier, with their positions. So no
  number of decisions removes a threat, a change or a key. The catalog says which types are about a decision (\`decision\`).
- Retention removes events that are older than \`BRAIN_EVENTS_RETENTION_DAYS\`, and the oldest of the evidence tier above
  \`BRAIN_EVENTS_EVIDENCE_MAX_LENGTH\`. A \`stream.trimmed\` in the same commit reports what was removed: how many of each type, from
  where to where, and when. When such a report is the oldest event, a new one replaces and includes it. So the counts of all
  reports in the log together are the number of all removed events.
- When the recent tier is 90 % full and nothing in it is old enough to remove, allowed decisions are not stored one by one. A
  \`stream.gap\` reports their number every ten seconds. So they do not use up the room for denials.

## The list

\`\`\`sh
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events?type=threat.*&order=asc&limit=100'
curl -H "Authorization: Bearer $KEY" "http://127.0.0.1:8080/api/events?subject=$THREAT"
curl -H "Authorization: Bearer $KEY" "http://127.0.0.1:8080/api/events?correlation_id=$CORRELATION"
\`\`\`

The newest event comes first; with \`order=asc\` the oldest. \`type\` may be repeated; it takes exact types, aliases, and
patterns in which \`*\` replaces one segment or, alone, all. \`priority\` and \`source\` take one value each. \`since\` and
\`until\` are Unix seconds and are compared with the time at which an event was written. \`subject\` (the id of a threat,
mission, policy, agent or immune event) and \`correlation_id\` use an index. Other filters read along the log, at most 2,000
events for a page, so a page may be short and still have a \`next_cursor\`. Send it as \`cursor\` to get the next page.

## The live stream

\`\`\`sh
curl -N -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events/stream?type=threat.*'
curl -N -H "Authorization: Bearer $KEY" -H "Last-Event-ID: $POSITION" 'http://127.0.0.1:8080/api/events/stream'
\`\`\`

The stream is made of Server-Sent Events: \`id:\` is the position, \`event:\` the type, \`data:\` the envelope with its position.
The filters are those of the list.

- A browser that reconnects sends the last \`id\` as \`Last-Event-ID\`. It first gets the events it has missed and then the new
  ones, with no gap and no repetition between the two. A client that cannot set the header sends \`last_event_id\` in the query
  (\`0-0\` is the beginning), or a time as \`since\`.
- If events were trimmed, or a failover took them back, an event \`gap\` has the reason and the two positions. \`missing\` says
  whether only events about decisions may be missing between them (\`decisions\`), or events of any type (\`any\`). The events that
  are left there follow; so the \`to\` of a gap with \`decisions\` can be after them. There can be two gaps in a row. After a rollback
  all surviving events after \`from\` follow. If there were several failovers within a minute, some of them come a second time.
  If a failover took back an event whose answer was lost with it, the event was written again. It can then come twice, with
  two positions; the second one comes after the \`gap\`.
- For a minute after a failover or a restart of Redis, a lost event and a surviving one can have the same position. So during
  that time the \`id\` is \`<position>~<8 hex digits>~<position>\`: the position of the event, the first digits of the id of
  the history of the log, and the position where that history begins. Send it back as it is. A reader that sends only the
  position of such an event gets the events since the failover again, after a \`gap\`.
- A comment every 15 s keeps the connection open through proxies. It also sends the current position as \`id\`, so that a
  reader whose filter matches few events does not need a long replay.
- A reader that is more than 1 MiB behind is disconnected. It comes back with its last \`id\` and loses nothing.
- A stream ends when its key is revoked or expires, and at a shutdown. The field \`retry\` gives each client another pause
  before it comes back, up to a few seconds.

## In code

\`\`\`ts
@OnEvent('threat.*')
onThreat(event: ReadEvent): void {} // the envelope with its position
\`\`\`

A replica with listeners reads the log and emits the events of all replicas, in log order, by their real types; aliases work
only in filters. Calls decide, events inform: events may be off, so nothing that must happen may depend on a listener. A new
event is one \`defineEvent\` in the \`*.events.ts\` of its domain, with the fields of the payload that are its subjects. This
page, the catalog and the checks of the tests follow from it.

## CloudEvents

\`\`\`sh
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events?format=cloudevents&order=asc'
curl -H "Authorization: Bearer $KEY" -H 'Accept: application/cloudevents-batch+json' 'http://127.0.0.1:8080/api/events'
curl -N -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events/stream?format=cloudevents'
\`\`\`

These are the same events as CloudEvents 1.0 in JSON. \`source\` is \`urn:brain:threat_service\`, \`dataschema\` is the \`$id\` of
the schema in the catalog, and \`subject\` is the first of the ids by which \`?subject=\` finds the event. \`actorid\`,
\`actorrole\`, \`actorname\`, \`correlationid\`, \`serverrequestid\`,
\`priority\`, \`schemaversion\` and \`position\` are extensions. The list is then a batch, and the header \`Link\` has the URL of
the next page.
`;

export const CONSUMERS_HEAD = `## Who reads it, and how

\`$THREAT\` and \`$AGENT\` are ids, \`$CORRELATION\` is the \`X-Correlation-ID\` of a request, \`$POSITION\` the \`position\` of an
event, \`$CURSOR\` the \`next_cursor\` of a page.
`;

/** The page has only those requests whose types and patterns all match an event of the loaded domains. */
export const CONSUMERS: { title: string; text: string; requests: string[] }[] = [
  {
    title: 'A dashboard',
    text: `Load the last events once, then follow from the position of the newest; events between the two requests are replayed. After
a reconnect, continue from the last position. After a \`gap\`, load again.`,
    requests: [
      '/api/events?limit=50',
      '/api/events/stream?type=threat.*&last_event_id=$POSITION',
      '/api/events/stream?type=mission.*&last_event_id=$POSITION',
    ],
  },
  {
    title: 'Security operations',
    text: `Follow the CRITICAL events live and page the person on duty. List the others at the start of a shift, by type, or by the
agent or threat under observation.`,
    requests: [
      '/api/events/stream?priority=CRITICAL',
      '/api/events?type=threat.detected&type=threat.escalated&limit=100',
      '/api/events?type=policy.denied&subject=$AGENT',
      '/api/events?type=immune.critical_event',
    ],
  },
  {
    title: 'Metrics',
    text: `Read forward in time windows, page by page, and store the last \`position\` with the sums, so that no event is counted twice.
Take times from \`timestamp\` and the order from \`position\`. \`threat.mitigated\` has \`duration_seconds\`.`,
    requests: [
      '/api/events?type=threat.mitigated&order=asc&since=1735424567&until=1767225599.5&limit=500',
      '/api/events?type=threat.*&order=asc&limit=500&cursor=$CURSOR',
      '/api/events?type=policy.rule_evaluated&order=asc&since=1735424567&limit=500',
    ],
  },
  {
    title: 'Audit',
    text: `Archive the whole log, oldest first, by \`Link\` or \`next_cursor\`, before retention removes it. Archive the \`stream.*\` events
too: a period with a \`stream.gap\` cannot be proven complete. The log of requests has the request of an event under the same
\`server_request_id\`.`,
    requests: [
      '/api/events?format=cloudevents&order=asc&limit=500',
      '/api/events?type=stream.*&order=asc',
      '/api/events?correlation_id=$CORRELATION&order=asc',
    ],
  },
  {
    title: 'Incident response',
    text: `Start with a known threat, agent or mission and read all its events. Then read the events that the same request caused, then
all events around that time. Then follow the subject live.`,
    requests: [
      '/api/events?subject=$THREAT&order=asc',
      '/api/events?correlation_id=$CORRELATION&order=asc',
      '/api/events?since=1735424500&until=1735424600&order=asc',
      '/api/events/stream?subject=$THREAT&last_event_id=$POSITION',
    ],
  },
];

export const COST = `## What it costs

Measured with \`npm run bench\` (docs/measurements.md has the machine and the method):

- \`publish\` takes 0.1 to 0.4 µs of the calling code, also while the log hangs.
- Writing an event to Redis costs the service 9 to 11 µs of CPU. Writing it to the embedded store costs 35 to 43 µs, because
  the database runs in the same process. A replica with a follower needs 5 µs more to read back each event.
- A full buffer, 50,000 events of 500 bytes, takes 49 MiB.
- At 1,000 events a second, a reader at another replica gets an event after 3 ms, 99 of 100 within 8 ms.
`;
