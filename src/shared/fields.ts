/**
 * The decorators of DTO fields. Each one sets the check of class-validator and the OpenAPI schema together, so that both
 * always agree. The same classes describe answers, where only the documentation is used.
 */
import { ApiProperty, type ApiPropertyOptions, ApiSchema } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import { IsOptional, ValidateBy, ValidateIf } from 'class-validator';
import { addField, type JsonSchema, schemaOfClass } from './class-schema.js';
import { isCleanText, isExactJson, isJson, isObject, MAX_JSON_DEPTH } from './json.js';

/** What a class is, for the OpenAPI document, and its name there. A subclass needs its own. */
export const Described = (description: string, name?: string): ClassDecorator =>
  ApiSchema({ description, ...(name !== undefined && { name }) });

/** In the OpenAPI document: what the service fills in where a request leaves the field out. */
export const FILLED = 'x-filled';

interface Common {
  description?: string;
  example?: unknown;
  /** May be left out. */
  optional?: boolean;
  /** A request may leave it out. Then the service fills in this, so it is in every answer. */
  filled?: string;
  /** May be null. */
  nullable?: boolean;
  default?: unknown;
}

function field(
  name: string,
  common: Common,
  schema: ApiPropertyOptions,
  what: string,
  accepts: (value: unknown) => boolean,
): PropertyDecorator {
  const { optional, nullable, filled, ...docs } = common;
  const documented = {
    ...schema,
    ...docs,
    required: !optional,
    ...(nullable && { nullable }),
    ...(filled !== undefined && { [FILLED]: filled }),
  } as ApiPropertyOptions;
  const mayBeLeftOut = optional === true || filled !== undefined;
  const check = ValidateBy({ name, validator: { validate: accepts, defaultMessage: () => what } });
  return (target, key) => {
    ApiProperty(documented)(target, key);
    const allows = (value: unknown): boolean => (value === null && nullable === true) || accepts(value);
    addField(target, key, {
      required: !optional,
      schema: () => jsonSchema(schema, common),
      check: { required: !mayBeLeftOut, code: name, what, allows },
    });
    if (mayBeLeftOut && nullable) IsOptional()(target, key);
    else if (mayBeLeftOut) ValidateIf((_object, value) => value !== undefined)(target, key);
    else if (nullable) ValidateIf((_object, value) => value !== null)(target, key);
    check(target, key);
  };
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
  /** Explains the pattern in the error. */
  patternHint?: string;
  format?: string;
}

/** Text without NUL and without half a surrogate pair, which not every store and client can keep. */
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

/** A boolean in a query: `?explain=true`. */
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
    // The values of a query are text. Bodies are not transformed.
    Type(() => Number)(target, key);
    check(target, key);
  };
}

/** A number of things. */
export const Count = (description: string, example = 0): PropertyDecorator =>
  Num({ integer: true, min: 0, description, example });

interface JsonOptions extends Common {
  /** Decisions depend on it, so numbers that were rounded when the body was parsed are refused. */
  exact?: boolean;
}

/** What JSON must be like, for an error. */
export function jsonHint(exact = false): string {
  const numbers = exact ? 'numbers up to ±(2^53−1) (send larger ones as text)' : 'finite numbers';
  return `at most ${MAX_JSON_DEPTH} levels deep, with ${numbers} and whole characters`;
}

/** Any JSON object. The service does not interpret it. */
export function JsonObject({ exact, ...options }: JsonOptions = {}): PropertyDecorator {
  const schema = { type: 'object', additionalProperties: true } as const;
  const isGood = exact ? isExactJson : isJson;
  const what = `must be a JSON object, ${jsonHint(exact)}`;
  return field('json_object', options, schema, what, (value) => isObject(value) && isGood(value));
}

/** Lists every type, because OpenAPI treats a field without a type as an object. */
const ANY_JSON = {
  anyOf: [
    { type: 'string' },
    { type: 'number' },
    { type: 'boolean' },
    { type: 'object', additionalProperties: true },
    { type: 'array', items: {} },
    { type: 'null' },
  ],
} as ApiPropertyOptions;

/** Any JSON value, including null. The service does not interpret it. */
export function JsonValue({ exact, ...options }: JsonOptions = {}): PropertyDecorator {
  const what = `must be a JSON value, ${jsonHint(exact)}`;
  return field('json_value', options, ANY_JSON, what, exact ? isExactJson : isJson);
}

/** A field that clients may send and the service does not read. */
export function Ignored(options: Common & { type: 'integer' | 'number' | 'string' }): PropertyDecorator {
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

interface ListOptions extends Common {
  least?: number;
  most?: number;
}

/** A list in a body. Only its length is checked here. The service checks the items itself, because the list may be long. */
export function ListIn(
  item: () => new () => object,
  { least = 0, most, ...options }: ListOptions = {},
): PropertyDecorator {
  const limits = { ...(least > 0 && { minItems: least }), ...(most !== undefined && { maxItems: most }) };
  const documented = ofClass(item, options, { isArray: true, ...limits }, (items) => ({
    type: 'array',
    items,
  }));
  const validate = (value: unknown): boolean =>
    Array.isArray(value) && value.length >= least && value.length <= (most ?? Number.MAX_SAFE_INTEGER);
  const what = most === undefined ? 'must be a list' : `must be a list of ${least} to ${most}`;
  const check = ValidateBy({ name: 'list', validator: { validate, defaultMessage: () => what } });
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
  shape: { isArray?: true; minItems?: number; maxItems?: number },
  wrap: (schema: JsonSchema) => JsonSchema,
): PropertyDecorator {
  const { optional, nullable, filled, description, ...docs } = options;
  const documented = {
    type: () => item(),
    ...shape,
    required: !optional,
    ...(nullable && { nullable }),
    ...(description && { description }),
    ...(filled !== undefined && { [FILLED]: filled }),
    ...docs,
  };
  return (target, key) => {
    ApiProperty(documented)(target, key);
    const schema = (): JsonSchema => {
      const described = { ...wrap(schemaOfClass(item())), ...(description && { description }) };
      return nullable ? { anyOf: [described, { type: 'null' }] } : described;
    };
    addField(target, key, { required: !optional, schema });
  };
}
