/** The parts of EVENTS.md that are written by hand. */

export const HEAD = `# Events

Every fact of the control plane is one event on one stream; where something is missing from it, that is an event too. This
page is made from the code (\`npm run docs:events\`), and tests hold it against the code and send its requests: do not edit
it by hand.

There are three ways to read the stream:

| Way | For | |
|---|---|---|
| [The list](#the-list) | what has been: looking back, auditing, counting | \`GET /api/events\` |
| [The live stream](#the-live-stream) | what happens now, after what was missed | \`GET /api/events/stream\` |
| [In code](#in-code) | a domain of this service that reacts to another | \`@OnEvent('threat.*')\` |

And two ways to load what stands here into a program: \`GET /api/events/catalog\` has the JSON Schema, an example, the
priority and the consumers of every type, and \`/asyncapi.json\` ([asyncapi.json](asyncapi.json)) the same as AsyncAPI 3.0.

\`\`\`sh
curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/api/events/catalog
curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8080/asyncapi.json
\`\`\`

## The envelope

\`\`\`json
{"id": "evt_threat_1735424567890_k3v9x2ab", "type": "threat.detected", "source": "threat_service", "target": null,
 "timestamp": 1735424567.89, "payload": {}, "meta": {"correlation_id": null, "version": "1.0", "schema_version": 1}}
\`\`\`

\`timestamp\` is when it happened. Readers of the API also get \`position\`, the place in the log: what orders, whichever
replica wrote. \`meta.correlation_id\` is the \`X-Correlation-ID\` of the request that caused the event (else the trace id of
its \`traceparent\`, else its request id): one id for everything that one request caused.

A payload has the fields of its schema and no others; a change of them raises \`meta.schema_version\`. The last of the
promises names the two exceptions.

## The promises

- An event that tells of a change of state rides in the commit of that change: both are there, or neither.
- Publishing never delays and never fails the business call. With \`BRAIN_EVENTS=off\` every domain behaves the same.
- An event without a state of its own (a decision) is in the log at the latest after 5 ms. While the log is away, 50,000
  events or 64 MiB wait in memory; what does not fit any more is counted, and the first thing written when the log is back
  is a \`stream.gap\` that says how many of which types are missing.
- A batch whose answer was lost is sent again and applied once. Where the log has not answered for 23 hours, a \`stream.gap\`
  (\`unanswered\`) says that its events may be missing: an event id is in the log once.
- A process that ends without flushing leaves a mark, and the next start, or another replica, tells it by a \`stream.gap\`. One that
  stands still, or is cut off from Redis for less than two minutes, is not taken for one that ended.
- A failover that took history back is noticed and told by a \`stream.gap\` for each process that may have lost events of its own, also
  where the old master went on taking writes: the gaps cover the \`timestamp\` of every event that this service lost.
- Retention (\`BRAIN_EVENTS_RETENTION_DAYS\`, and \`BRAIN_EVENTS_MAX_LENGTH\` as the hard cap) tells by a \`stream.trimmed\`, in the
  same commit, what it removed. Noise does not push evidence out: at nine tenths of the cap, with nothing old enough to go,
  allowed decisions are only counted, and told by a \`stream.gap\` within ten seconds.
- A payload that cannot be serialized is replaced by \`{"unserializable": reason}\`. The values that \`BRAIN_MASK\` names are
  replaced by \`"[masked]"\` before anything is written.

## The list

\`\`\`sh
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events?type=threat.*&order=asc&limit=100'
curl -H "Authorization: Bearer $KEY" "http://127.0.0.1:8080/api/events?subject=$THREAT"
curl -H "Authorization: Bearer $KEY" "http://127.0.0.1:8080/api/events?correlation_id=$CORRELATION"
\`\`\`

Newest first, or oldest first by \`order=asc\`. \`type\` is repeatable and takes exact types, aliases, and patterns in which
\`*\` stands for one segment or, alone, for all. \`priority\` and \`source\` take one value each. \`since\` and \`until\` are Unix
seconds, compared with the time at which an event was written. \`subject\` (the id of a threat, mission, policy, agent or
immune event) and \`correlation_id\` answer from an index; other filters read along the log, at most 2,000 events a page, so
a page may be short and still have a \`next_cursor\`, which is the \`cursor\` of the next page.

## The live stream

\`\`\`sh
curl -N -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events/stream?type=threat.*'
curl -N -H "Authorization: Bearer $KEY" -H "Last-Event-ID: $POSITION" 'http://127.0.0.1:8080/api/events/stream'
\`\`\`

Server-Sent Events: \`id:\` is the position, \`event:\` the type, \`data:\` the envelope with its position. Browsers send the last \`id\` back as
\`Last-Event-ID\` by themselves when they reconnect, and get what they missed and then what happens, without a hole or a
repetition between the two; a client that cannot set the header uses \`last_event_id\` in the query (\`0-0\` is the beginning),
or \`since\` for a time. The filters are those of the list. Where history was trimmed meanwhile, or a failover took it back, an
event \`gap\` says why, and from where to where; after a rollback everything that survived behind \`from\` follows, some of it a second
time where there were several failovers within a minute. An id is only a position: where the surviving history has another event
at the very same one, a reader that comes back with it is not told. A comment every 15 s keeps proxies awake, and moves on the id of a reader
whose filter lets little through. Who is more than 1 MiB behind is cut off, and loses nothing by coming back. A stream ends with
the key it was opened with, and at a shutdown, after a \`retry\` that spreads those who come back.

## In code

\`\`\`ts
@OnEvent('threat.*')
onThreat(event: ReadEvent): void {} // the envelope with its position
\`\`\`

A replica on which somebody listens follows the log and hands on the events of all replicas, in log order, by their real types:
aliases are for filters. Calls decide, events inform: as the stream may be off, nothing that must happen may hang on a
listener. A new event is one \`defineEvent\` in the \`*.events.ts\` of
its domain; this page, the catalog and the checks of the tests follow from it.

## CloudEvents

\`\`\`sh
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events?format=cloudevents&order=asc'
curl -H "Authorization: Bearer $KEY" -H 'Accept: application/cloudevents-batch+json' 'http://127.0.0.1:8080/api/events'
curl -N -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8080/api/events/stream?format=cloudevents'
\`\`\`

The same events as CloudEvents 1.0 in JSON: \`source\` is \`urn:brain:threat_service\`, \`dataschema\` the \`$id\` of the schema in the
catalog, \`subject\` the first of the ids by which \`?subject=\` finds the event, and \`correlationid\`, \`priority\`, \`schemaversion\`
and \`position\` are extensions. The list is then a batch, whose next page stands in the header \`Link\`.
`;

export const CONSUMERS_HEAD = `## Who reads it, and how

\`$THREAT\` and \`$AGENT\` stand for ids, \`$CORRELATION\` for the \`X-Correlation-ID\` of a request, \`$POSITION\` for the \`position\` of
an event, \`$CURSOR\` for the \`next_cursor\` of a page.
`;

/** A request is told once every type and pattern in it stands for an event of the loaded domains. */
export const CONSUMERS: { title: string; text: string; requests: string[] }[] = [
  {
    title: 'A dashboard',
    text: `Load the last events once, then follow from the position of the newest: what happens between the two requests is
replayed. After a reconnect go on from the last position; after a \`gap\` load anew.`,
    requests: [
      '/api/events?limit=50',
      '/api/events/stream?type=threat.*&last_event_id=$POSITION',
      '/api/events/stream?type=mission.*&last_event_id=$POSITION',
    ],
  },
  {
    title: 'Security operations',
    text: `Wake somebody for what is CRITICAL, live; list the rest at the start of a shift, by type or by the one agent or threat
that is watched.`,
    requests: [
      '/api/events/stream?priority=CRITICAL',
      '/api/events?type=threat.detected&type=threat.escalated&limit=100',
      '/api/events?type=policy.denied&subject=$AGENT',
      '/api/events?type=immune.critical_event',
    ],
  },
  {
    title: 'Metrics',
    text: `Read forward in time windows, page by page, and keep the last \`position\` with the sums: so nothing is counted twice. Take
times from \`timestamp\`, order from \`position\`. \`threat.mitigated\` has \`duration_seconds\`.`,
    requests: [
      '/api/events?type=threat.mitigated&order=asc&since=1735424567&until=1767225599.5&limit=500',
      '/api/events?type=threat.*&order=asc&limit=500&cursor=$CURSOR',
      '/api/events?type=policy.rule_evaluated&order=asc&since=1735424567&limit=500',
    ],
  },
  {
    title: 'Audit',
    text: `Archive the whole log oldest first, following \`Link\` (or \`next_cursor\`) before retention removes it. What \`stream.*\`
says belongs into the archive: a period with a \`stream.gap\` cannot be proven complete. Who caused an event is
in the log of requests under the same \`correlation_id\`.`,
    requests: [
      '/api/events?format=cloudevents&order=asc&limit=500',
      '/api/events?type=stream.*&order=asc',
      '/api/events?correlation_id=$CORRELATION&order=asc',
    ],
  },
  {
    title: 'Incident response',
    text: `Begin with the one thing that is known, a threat, an agent or a mission, and read its life; then everything that the
same request caused; then what else happened around that time; and stay on it live.`,
    requests: [
      '/api/events?subject=$THREAT&order=asc',
      '/api/events?correlation_id=$CORRELATION&order=asc',
      '/api/events?since=1735424500&until=1735424600&order=asc',
      '/api/events/stream?subject=$THREAT&last_event_id=$POSITION',
    ],
  },
];

export const COST = `## What it costs

Measured with \`npm run bench\` (docs/measurements.md says on what, and how): \`publish\` takes 0.1 to 0.4 µs of its caller's
stack, also while the log hangs. On its whole way into Redis an event costs the service 9 to 11 µs of CPU, into the embedded store,
which is the database as well, 35 to 43 µs; while somebody follows at a replica, reading back what it has written costs 5 µs more. A
full buffer, 50,000 events of 500 bytes, takes 49 MiB. An event is with a reader at another replica after 3 ms, 99 of 100 within
8 ms, at 1,000 events a second.
`;
