/**
 * One decorator per field says what it is, checks it, and documents it: class-validator and OpenAPI are set together
 * and cannot drift apart. The same classes describe answers, where only the documentation counts.
 */
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import { IsOptional, ValidateBy, ValidateIf } from 'class-validator';

interface Common {
  description?: string;
  example?: unknown;
  /** May be left out. */
  optional?: boolean;
  /** May be null. */
  nullable?: boolean;
  default?: unknown;
}

/** Deeper than any sane metadata, and far from what recursion can bear. */
export const MAX_JSON_DEPTH = 32;

function field(
  name: string,
  common: Common,
  schema: ApiPropertyOptions,
  what: string,
  accepts: (value: unknown) => boolean,
): PropertyDecorator {
  const { optional, nullable, ...docs } = common;
  const documented = {
    ...schema,
    ...docs,
    required: !optional,
    ...(nullable && { nullable }),
  } as ApiPropertyOptions;
  const check = ValidateBy({ name, validator: { validate: accepts, defaultMessage: () => what } });
  return (target, key) => {
    ApiProperty(documented)(target, key);
    const allows = (value: unknown): boolean => (value === null && nullable === true) || accepts(value);
    remember(target, key, {
      required: !optional,
      schema: () => jsonSchema(schema, common),
      check: { code: name, what, allows },
    });
    if (optional && nullable) IsOptional()(target, key);
    else if (optional) ValidateIf((_object, value) => value !== undefined)(target, key);
    else if (nullable) ValidateIf((_object, value) => value !== null)(target, key);
    check(target, key);
  };
}

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
  /** Asked for late: a class may name another that is declared after it. */
  schema: () => JsonSchema;
  /** The same check that class-validator makes; a field of another class has none of its own. */
  check?: { code: string; what: string; allows: (value: unknown) => boolean };
}

/** A field as it is checked without class-validator. */
export interface FieldCheck {
  name: string;
  required: boolean;
  code: string;
  what: string;
  allows(value: unknown): boolean;
}

const FIELDS = Symbol('fields');

/**
 * A class as JSON Schema, for what is documented outside OpenAPI: the fields of the class and of those it extends, and no
 * others. Only keywords that mean the same in every draft since 7 are used.
 */
export function schemaOfClass(type: abstract new (...args: never[]) => object): JsonSchema {
  const fields = (Reflect.getMetadata(FIELDS, type.prototype as object) as Field[] | undefined) ?? [];
  return {
    type: 'object',
    properties: Object.fromEntries(fields.map(({ name, schema }) => [name, schema()])),
    required: fields.filter(({ required }) => required).map(({ name }) => name),
    additionalProperties: false,
  };
}

/** The checks of a class, for what is too large or too deep for the guard of the input; fields of other classes are not among them. */
export function checksOf(type: abstract new (...args: never[]) => object): FieldCheck[] {
  const fields = (Reflect.getMetadata(FIELDS, type.prototype as object) as Field[] | undefined) ?? [];
  return fields.flatMap(({ name, required, check }) => (check ? [{ name, required, ...check }] : []));
}

function remember(target: object, key: string | symbol, field: Omit<Field, 'name'>): void {
  const name = String(key);
  const others = ((Reflect.getMetadata(FIELDS, target) as Field[] | undefined) ?? []).filter(
    (other) => other.name !== name,
  );
  Reflect.defineMetadata(FIELDS, [...others, { name, ...field }], target);
}

function jsonSchema(schema: ApiPropertyOptions, { description, nullable }: Common): JsonSchema {
  const { enumName: _name, type, enum: values, ...rest } = schema as JsonSchema & { enumName?: string };
  const named = type ?? (values ? 'string' : undefined);
  const plain = {
    type: nullable && named ? [named, 'null'].flat() : named,
    enum: nullable && values ? [...values, null] : values,
    ...rest,
    description,
  };
  return Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== undefined));
}

interface TextOptions extends Common {
  max: number;
  min?: number;
  pattern?: RegExp;
  /** Says what the pattern wants, for the error. */
  patternHint?: string;
  format?: string;
}

/** Text without NUL and without halves of characters: neither survives the way through every store and every client. */
export function Text(options: TextOptions): PropertyDecorator {
  const { max, min = 1, pattern, patternHint, format, ...common } = options;
  const what = `must be text of ${min} to ${max} characters${patternHint ? `: ${patternHint}` : ''}`;
  const schema = {
    type: 'string',
    minLength: min,
    maxLength: max,
    pattern: pattern?.source,
    format,
  } as const;
  return field('text', common, schema, what, (value) => {
    if (typeof value !== 'string' || value.length < min || value.length > max) return false;
    return isCleanText(value) && (pattern === undefined || pattern.test(value));
  });
}

export function isCleanText(value: string): boolean {
  return !value.includes('\0') && hasWholeCharacters(value);
}

export function OneOf<T extends string>(
  values: readonly T[],
  options: Common & { name: string },
): PropertyDecorator {
  const { name, ...common } = options;
  const schema = { enum: [...values], enumName: name } as const;
  const what = `must be one of ${values.join(', ')}`;
  return field('one_of', common, schema, what, (value) => values.includes(value as T));
}

export function Flag(options: Common = {}): PropertyDecorator {
  const what = 'must be true or false';
  return field('boolean', options, { type: 'boolean' }, what, (value) => typeof value === 'boolean');
}

/** A switch in a query: `?explain=true`. */
export function Switch(options: { description: string }): PropertyDecorator {
  const check = field(
    'switch',
    { optional: true, default: false, ...options },
    { type: 'boolean' },
    'must be true or false',
    (value) => typeof value === 'boolean',
  );
  return (target, key) => {
    Transform(({ value }: { value: unknown }) =>
      value === 'true' ? true : value === 'false' ? false : value,
    )(target, key);
    check(target, key);
  };
}

interface NumOptions extends Common {
  min?: number;
  max?: number;
  integer?: boolean;
}

export function Num(options: NumOptions = {}): PropertyDecorator {
  const { min = -Number.MAX_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER, integer, ...common } = options;
  const bounds = `${options.min === undefined ? '' : ` from ${min}`}${options.max === undefined ? '' : ` up to ${max}`}`;
  const what = `must be a ${integer ? 'whole ' : ''}number${bounds}`;
  const schema = {
    type: integer ? 'integer' : 'number',
    minimum: options.min,
    maximum: options.max,
  } as const;
  const check = field('number', common, schema, what, (value) => {
    if (typeof value !== 'number' || !Number.isFinite(value) || value < min || value > max) return false;
    return !integer || Number.isInteger(value);
  });
  return (target, key) => {
    // Queries bring text; bodies are not transformed and stay as they came.
    Type(() => Number)(target, key);
    check(target, key);
  };
}

/** A number of things. */
export const Count = (description: string, example = 0): PropertyDecorator =>
  Num({ integer: true, min: 0, description, example });

/** Any JSON object; what it means is the client's business. */
export function JsonObject(options: Common = {}): PropertyDecorator {
  const schema = { type: 'object', additionalProperties: true } as const;
  const what = `must be a JSON object, at most ${MAX_JSON_DEPTH} levels deep, with finite numbers and whole characters`;
  return field('json_object', options, schema, what, (value) => {
    return (
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      isPlainJson(value, MAX_JSON_DEPTH)
    );
  });
}

/** Written out: without a type a field counts as an object. */
const ANY_JSON = {
  anyOf: [
    { type: 'string' },
    { type: 'number' },
    { type: 'boolean' },
    { type: 'object' },
    { type: 'array', items: {} },
    { type: 'null' },
  ],
} as ApiPropertyOptions;

/** Any JSON value, null included; what it means is the client's business. */
export function JsonValue(options: Common = {}): PropertyDecorator {
  const what = `must be a JSON value, at most ${MAX_JSON_DEPTH} levels deep, with finite numbers and whole characters`;
  return field('json_value', options, ANY_JSON, what, isJson);
}

/** Whether a value is JSON that can be kept and sent on unchanged. */
export function isJson(value: unknown): boolean {
  return value !== undefined && isPlainJson(value, MAX_JSON_DEPTH);
}

/** What clients may send along and nobody looks at, whatever it is. */
export function Ignored(options: Common & { type: 'integer' | 'string' }): PropertyDecorator {
  const { type, ...common } = options;
  return field('ignored', { ...common, optional: true }, { type }, 'may be anything', () => true);
}

/** A list of texts. */
export function Texts(options: Common & { max: number; most: number }): PropertyDecorator {
  const { max, most, ...common } = options;
  const schema = {
    type: 'array',
    items: { type: 'string', minLength: 1, maxLength: max },
    maxItems: most,
  } as const;
  const what = `must be a list of up to ${most} texts of 1 to ${max} characters`;
  return field('texts', common, schema, what, (value) => {
    if (!Array.isArray(value) || value.length > most) return false;
    return value.every(
      (one) => typeof one === 'string' && one !== '' && one.length <= max && isCleanText(one),
    );
  });
}

/** A list of another class, for answers and events. */
export function ListOf(item: () => new () => object, options: Common = {}): PropertyDecorator {
  return ofClass(item, options, { isArray: true }, (items) => ({ type: 'array', items }));
}

/** A list in a body. That it is one is checked here, what is in it by whoever takes it: it may be long. */
export function ListIn(item: () => new () => object, options: Common = {}): PropertyDecorator {
  const documented = ListOf(item, options);
  const check = ValidateBy({
    name: 'list',
    validator: { validate: Array.isArray, defaultMessage: () => 'must be a list' },
  });
  return (target, key) => {
    documented(target, key);
    if (options.optional) ValidateIf((_object, value) => value !== undefined)(target, key);
    check(target, key);
  };
}

/** Another class, for answers and events. */
export function Nested(item: () => new () => object, options: Common = {}): PropertyDecorator {
  return ofClass(item, options, {}, (schema) => schema);
}

function ofClass(
  item: () => new () => object,
  options: Common,
  shape: { isArray?: true },
  wrap: (schema: JsonSchema) => JsonSchema,
): PropertyDecorator {
  const { optional, nullable, description, ...docs } = options;
  const documented = {
    type: () => item(),
    ...shape,
    required: !optional,
    ...(nullable && { nullable }),
    ...(description && { description }),
    ...docs,
  };
  return (target, key) => {
    ApiProperty(documented)(target, key);
    const schema = (): JsonSchema => {
      const described = { ...wrap(schemaOfClass(item())), ...(description && { description }) };
      return nullable ? { anyOf: [described, { type: 'null' }] } : described;
    };
    remember(target, key, { required: !optional, schema });
  };
}

function isPlainJson(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return hasWholeCharacters(value);
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) return value.every((member) => isPlainJson(member, depth - 1));
  const members = value as Record<string, unknown>;
  return Object.keys(members).every((key) => hasWholeCharacters(key) && isPlainJson(members[key], depth - 1));
}

/** `String.prototype.isWellFormed` is in Node 20, but only in a later library of the compiler. */
function hasWholeCharacters(value: string): boolean {
  return (value as string & { isWellFormed(): boolean }).isWellFormed();
}
