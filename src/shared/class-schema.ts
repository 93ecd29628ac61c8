/** What the field decorators know about a class, for code outside OpenAPI and class-validator: its JSON Schema and its checks. */

export interface JsonSchema {
  $id?: string;
  $ref?: string;
  title?: string;
  description?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  allOf?: JsonSchema[];
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
}

interface Field {
  name: string;
  required: boolean;
  /** A function, because a class may name another class that is declared after it. */
  schema: () => JsonSchema;
  /** The same check as that of class-validator. A field that holds another class has none. */
  check?: Omit<FieldCheck, 'name'>;
}

/** A field as it is checked without class-validator. */
export interface FieldCheck {
  name: string;
  /** Whether a request must have it. An answer may have more. */
  required: boolean;
  code: string;
  what: string;
  allows(value: unknown): boolean;
}

type AnyClass = abstract new (...args: never[]) => object;

const FIELDS = Symbol('fields');

/** Adds a field to a class. A field of the same name in a parent class is replaced. */
export function addField(target: object, key: string | symbol, field: Omit<Field, 'name'>): void {
  const name = String(key);
  const others = fieldsOf(target).filter((other) => other.name !== name);
  Reflect.defineMetadata(FIELDS, [...others, { name, ...field }], target);
}

/**
 * The JSON Schema of a class and its parent classes. Other fields are not allowed. Only keywords that mean the same in
 * every draft since 7 are used.
 */
export function schemaOfClass(type: AnyClass): JsonSchema {
  const fields = fieldsOf(type.prototype as object);
  return {
    type: 'object',
    properties: Object.fromEntries(fields.map(({ name, schema }) => [name, schema()])),
    required: fields.filter(({ required }) => required).map(({ name }) => name),
    additionalProperties: false,
  };
}

/** The checks of a class, for objects that the input guard does not check. Fields that hold another class are left out. */
export function checksOf(type: AnyClass): FieldCheck[] {
  return fieldsOf(type.prototype as object).flatMap(({ name, check }) => (check ? [{ name, ...check }] : []));
}

function fieldsOf(prototype: object): Field[] {
  return (Reflect.getMetadata(FIELDS, prototype) as Field[] | undefined) ?? [];
}
