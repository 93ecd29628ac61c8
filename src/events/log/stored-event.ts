/** An event as it stands in the log; what is in it is looked at no further than somebody asks. */
import { type IndexedEvent, indexNamesOf } from '../../storage/event-log.js';
import type { Envelope } from '../event.js';

/** The envelopes of this service begin like this, so the type of most events is known without parsing them. */
const OURS = /^\{"id":"[\w-]+","type":"([\w.]{1,128})",/;
/** What may stand as a type in a line of a stream of events, whoever wrote it. */
const CLEAN = /^[\x21-\x7e]{1,128}$/;

export type ReadEvent = Envelope & { position: string };

export class StoredEvent {
  readonly position: string;
  readonly json: string;
  private parsed?: Envelope | null;

  constructor(private readonly logged: IndexedEvent) {
    this.position = logged.position;
    this.json = logged.json;
  }

  /** The names under which the index finds it; only for events that `EventLog.next` handed out. */
  get indexNames(): string[] {
    return indexNamesOf(this.logged);
  }

  /** Nothing where another program wrote what is no envelope: it has no type that anyone could ask for. */
  get type(): string | undefined {
    return this.ours?.[1] ?? this.envelope?.type;
  }

  get envelope(): Envelope | undefined {
    if (this.parsed === undefined) this.parsed = parse(this.json);
    return this.parsed ?? undefined;
  }

  /** The JSON that readers of the API get. Ours needs no parsing for it: the position is put behind the last field. */
  get text(): string {
    if (this.ours) {
      return `${this.json.slice(0, -1)},"position":"${this.position}"}`;
    }
    return JSON.stringify(this.read);
  }

  private get ours(): RegExpExecArray | null {
    return this.json.endsWith('}}') ? OURS.exec(this.json) : null;
  }

  /** As readers of the API get it. */
  get read(): ReadEvent | undefined {
    return this.envelope && Object.assign(this.envelope, { position: this.position });
  }
}

function parse(json: string): Envelope | null {
  try {
    const event = JSON.parse(json) as Envelope;
    const sound =
      typeof event.type === 'string' &&
      CLEAN.test(event.type) &&
      typeof event.meta === 'object' &&
      event.meta !== null;
    return sound ? event : null;
  } catch {
    return null;
  }
}
