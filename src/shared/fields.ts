/**
 * One decorator per field says what it is, checks it, and documents it: class-validator and OpenAPI are set together
 * and cannot drift apart. The same classes describe answers, where only the documentation counts.
 */
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { Type } from 'class-transformer';
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
      name: String(key),
      schema: jsonSchema(schema, common),
      required: !optional,
      check: { code: name, what, allows },
    });
    if (optional && nullable) IsOptional()(target, key);
    else if (optional) ValidateIf((_object, value) => value !== undefined)(target, key);
    else if (nullable) ValidateIf((_object, value) => value !== null)(target, key);
    check(target, key);
  };
}

/** A field as JSON Schema, for what is documented outside OpenAPI: the payloads of events. */
export interface FieldDoc {
  name: string;
  schema: Record<string, unknown>;
  required: boolean;
  /** The same check that class-validator makes, for what is checked without it. */
  check: { code: string; what: string; allows: (value: unknown) => boolean };
}

const FIELDS = Symbol('fields');

/** The fields of a class and of those it extends, in the order of their declaration. */
export function fieldsOf(type: abstract new (...args: never[]) => object): FieldDoc[] {
  return (Reflect.getMetadata(FIELDS, type.prototype as object) as FieldDoc[] | undefined) ?? [];
}

function remember(target: object, key: string | symbol, doc: FieldDoc): void {
  const inherited = (Reflect.getMetadata(FIELDS, target) as FieldDoc[] | undefined) ?? [];
  Reflect.defineMetadata(FIELDS, [...inherited.filter(({ name }) => name !== key), doc], target);
}

function jsonSchema(schema: ApiPropertyOptions, { description, nullable }: Common): Record<string, unknown> {
  const { enumName: _name, ...rest } = schema as Record<string, unknown>;
  const type = rest.type ?? (rest.enum ? 'string' : undefined);
  const plain = { ...rest, type: nullable ? [type, 'null'] : type, ...(description && { description }) };
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

/** A list of texts, for answers. */
export function Texts(options: Common = {}): PropertyDecorator {
  const { optional, nullable: _nullable, ...docs } = options;
  return ApiProperty({ type: String, isArray: true, required: !optional, ...docs });
}

export function isCleanText(value: string): boolean {
  return !value.includes('\0') && isWellFormed(value);
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

/** Any JSON value, null included; what it means is the client's business. */
export function JsonValue(options: Common = {}): PropertyDecorator {
  const what = `must be a JSON value, at most ${MAX_JSON_DEPTH} levels deep, with finite numbers and whole characters`;
  return field('json_value', options, {}, what, isJson);
}

/** Whether a value is JSON that can be kept and sent on unchanged. */
export function isJson(value: unknown): boolean {
  return value !== undefined && isPlainJson(value, MAX_JSON_DEPTH);
}

/** A list of another class, for answers. */
export function ListOf(item: () => new () => object, options: Common = {}): PropertyDecorator {
  const { optional, nullable, ...docs } = options;
  return ApiProperty({
    type: () => item(),
    isArray: true,
    required: !optional,
    ...(nullable && { nullable }),
    ...docs,
  });
}

/** Another class, for answers. */
export function Nested(item: () => new () => object, options: Common = {}): PropertyDecorator {
  const { optional, nullable, ...docs } = options;
  return ApiProperty({
    type: () => item(),
    required: !optional,
    ...(nullable && { nullable }),
    ...docs,
  });
}

function isPlainJson(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return isWellFormed(value);
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) return value.every((member) => isPlainJson(member, depth - 1));
  return Object.entries(value).every(([key, member]) => isWellFormed(key) && isPlainJson(member, depth - 1));
}

/** `String.prototype.isWellFormed` is in Node 20; the library of the compiler learns of it a year later. */
function isWellFormed(value: string): boolean {
  return (value as string & { isWellFormed(): boolean }).isWellFormed();
}
