/**
 * Gives requests schemas of their own in the OpenAPI document. A class is declared once, but a request may leave out what the
 * service fills in, may not have other fields, and has no `default`: generators of clients take a field with one as required.
 */
import type { OpenAPIObject } from '@nestjs/swagger';
import { FILLED } from '../shared/fields.js';

interface Schema extends Record<string, unknown> {
  [FILLED]?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  description?: string;
}

interface Operation extends Record<string, unknown> {
  requestBody?: object;
  responses: object;
}

/** On an operation: unknown members of its body are ignored. */
export const IGNORES_UNKNOWN = 'x-ignores-unknown-members';

const PREFIX = '#/components/schemas/';
/** The end of the name of a schema of requests, if answers have one of the same class. */
const SUFFIX = 'Input';

export function separateInputs(document: OpenAPIObject): void {
  const schemas = (document.components?.schemas ?? {}) as Record<string, Schema>;
  const [sent, answered, open] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path) as Operation[]);
  for (const operation of operations) {
    addNames(operation.requestBody, schemas, sent);
    addNames(operation.responses, schemas, answered);
    if (operation[IGNORES_UNKNOWN]) addNames(operation.requestBody, schemas, open);
    delete operation[IGNORES_UNKNOWN];
  }
  const inputs = [...sent].filter((name) => schemas[name]?.properties);
  const names = new Map(inputs.map((name) => [name, answered.has(name) ? name + SUFFIX : name]));
  const made = inputs.map((name): [string, Schema] => {
    const input = renamed(inputOf(schemas[name]), names) as Schema;
    if (!open.has(name)) input.additionalProperties = false;
    return [names.get(name) ?? name, input];
  });
  for (const schema of Object.values(schemas)) forAnswers(schema);
  for (const [name, input] of made) schemas[name] = input;
  for (const operation of operations) {
    if (operation.requestBody) operation.requestBody = renamed(operation.requestBody, names) as object;
  }
}

function inputOf({ properties = {}, required = [], ...schema }: Schema): Schema {
  const left = required.filter((name) => !(FILLED in (properties[name] ?? {})));
  return {
    ...schema,
    // A change leaves out what stays as it is: there nothing is filled in.
    properties: mapped(properties, ({ [FILLED]: by, ...property }, name) =>
      withoutDefault(property, required.includes(name) ? by : undefined),
    ),
    ...(left.length > 0 && { required: left }),
  };
}

/** An answer has every field, so how it would be filled in is not said. */
function forAnswers(schema: Schema): void {
  if (!schema.properties) return;
  schema.properties = mapped(schema.properties, ({ [FILLED]: _by, ...property }) => withoutDefault(property));
}

/** Says in the description what the keyword `default` says. */
function withoutDefault({ default: value, ...property }: Schema, filled?: string): Schema {
  const text = filled ?? (value === undefined ? undefined : `\`${JSON.stringify(value)}\``);
  if (text === undefined) return property;
  const description = `${property.description ?? ''}. By default ${text}`;
  return { ...(value !== undefined && { example: value }), ...property, description };
}

function mapped(
  properties: Record<string, Schema>,
  change: (one: Schema, name: string) => Schema,
): Record<string, Schema> {
  return Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, change(one, name)]));
}

/** Adds the names of all schemas that are reachable from the value. */
function addNames(value: unknown, schemas: Record<string, Schema>, names: Set<string>): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, member] of Object.entries(value)) {
    if (key !== '$ref' || typeof member !== 'string') {
      addNames(member, schemas, names);
      continue;
    }
    const name = member.slice(PREFIX.length);
    if (!member.startsWith(PREFIX) || names.has(name)) continue;
    names.add(name);
    addNames(schemas[name], schemas, names);
  }
}

/** A copy in which the references have the new names. */
function renamed(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((one) => renamed(one, names));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      if (key !== '$ref' || typeof member !== 'string') return [key, renamed(member, names)];
      const name = member.slice(PREFIX.length);
      return [key, PREFIX + (names.get(name) ?? name)];
    }),
  );
}
