/**
 * The envelope of every event, and how a domain defines its events. A definition has the type, the payload, the priority, an
 * example and the consumers, and it is also the function that builds the event. The catalog, EVENTS.md and the checks of
 * payloads in the tests are made from the definitions.
 */
import type { Actor } from '../shared/context.js';

export const PRIORITIES = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'] as const;
export type Priority = (typeof PRIORITIES)[number];

export interface Envelope {
  id: string;
  type: string;
  source: string;
  target: string | null;
  timestamp: number;
  payload: unknown;
  meta: {
    correlation_id: string | null;
    /** The id that the service made for the request. Null where no request caused it, missing in an earlier release. */
    server_request_id?: string | null;
    /** Missing in an event of an earlier release. */
    actor?: Actor;
    version: '1.0';
    schema_version: number;
  };
}

export interface EventDefinition<P extends object = object> {
  type: string;
  /** `threat` makes ids `evt_threat_…` and the source `threat_service`. */
  module: string;
  payload: new () => P;
  /** The fields of the payload whose values are ids by which `?subject=` finds the event; the first one names it. */
  subjects: readonly string[];
  priority: Priority;
  schemaVersion: number;
  /** When it is published, as a sentence. */
  when: string;
  example: P;
  /** Who reads it, and for what. */
  consumers: string[];
  /**
   * The event is about one decision. Only these are removed when the log gets too long; all others move into the evidence
   * tier.
   */
  decision?: boolean;
}

/** What a service publishes; EventStream makes the envelope. */
export interface NewEvent {
  definition: EventDefinition;
  payload: object;
}

type Builder<P extends object, A extends unknown[]> = ((...args: A) => NewEvent) & EventDefinition<P>;

const definitions = new Map<string, EventDefinition>();

export function defineEvent<P extends object, A extends unknown[]>(
  definition: Omit<EventDefinition<P>, 'schemaVersion' | 'subjects'> & {
    schemaVersion?: number;
    subjects: readonly (keyof P & string)[];
    of: (...args: A) => P;
  },
): Builder<P, A> {
  const { of, ...rest } = definition;
  const defined: EventDefinition<P> = { schemaVersion: 1, ...rest };
  if (definitions.has(defined.type)) throw new Error(`The event ${defined.type} is defined twice`);
  definitions.set(defined.type, defined);
  const build = (...args: A): NewEvent => ({ definition: defined, payload: of(...args) });
  return Object.assign(build, defined);
}

/** Every event that the loaded domains define, sorted by type. */
export function catalog(): EventDefinition[] {
  return [...definitions.values()].sort((a, b) => (a.type < b.type ? -1 : 1));
}

export function priorityOf(type: string): Priority | null {
  return definitions.get(type)?.priority ?? null;
}

/** The subjects of an event, in the order of its definition. */
export function subjectsOf({ subjects }: Pick<EventDefinition, 'subjects'>, payload: unknown): string[] {
  const values = subjects.map((field) => (payload as Record<string, unknown> | null)?.[field]);
  const ids = values.filter((value) => typeof value === 'string' || typeof value === 'number');
  return [...new Set(ids.map(String))];
}

/** The key under which the index of the log has the events about a subject. */
export function subjectKey(subject: string): string {
  return `s:${subject}`;
}

export function correlationKey(correlationId: string): string {
  return `c:${correlationId}`;
}

export function definitionOf(type: string): EventDefinition | undefined {
  return definitions.get(type);
}

/** Older names that filters accept. */
const ALIASES = new Map([
  ['policy.evaluated', 'policy.rule_evaluated'],
  ['policy.denied', 'policy.action_denied'],
  ['immune.critical_issue_detected', 'immune.critical_event'],
]);

export function aliasesOf(type: string): string[] {
  return [...ALIASES].filter(([, real]) => real === type).map(([alias]) => alias);
}

/** Matches exact types, aliases, and patterns in which `*` replaces one segment or, alone, all. */
export function typeFilter(patterns: string[]): (type: string) => boolean {
  if (patterns.length === 0 || patterns.includes('*')) return () => true;
  const wanted = patterns.map((pattern) => (ALIASES.get(pattern) ?? pattern).split('.'));
  return (type) => {
    const parts = type.split('.');
    return wanted.some(
      (pattern) =>
        pattern.length === parts.length && pattern.every((part, i) => part === '*' || part === parts[i]),
    );
  };
}
