/** An event as the log stores it. Parsing is the largest cost of reading, so it is parsed only when that is necessary. */
import type { IndexedEvent } from '../../storage/event-log.js';
import { indexNamesOf } from '../../storage/index-names.js';
import type { Envelope } from '../event.js';

/** The beginning of every envelope that this service writes; so the type of most events is known without parsing. */
const OURS = /^\{"id":"[\w-]+","type":"([\w.]{1,128})",/;
/** What a Server-Sent Event may have as its type, also if another program wrote it. */
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

  /** Undefined for an entry of another program that is not an envelope. */
  get type(): string | undefined {
    return this.ours?.[1] ?? this.envelope?.type;
  }

  get envelope(): Envelope | undefined {
    if (this.parsed === undefined) this.parsed = parse(this.json);
    return this.parsed ?? undefined;
  }

  /** The JSON for readers of the API. For an event of this service the position is appended without parsing. */
  get text(): string {
    if (this.ours) {
      return `${this.json.slice(0, -1)},"position":"${this.position}"}`;
    }
    return JSON.stringify(this.read);
  }

  private get ours(): RegExpExecArray | null {
    return this.json.endsWith('}}') ? OURS.exec(this.json) : null;
  }

  /** The object for readers of the API. */
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
