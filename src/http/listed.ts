/**
 * What a list shows of its rows. A list declares the class of its rows with `Listed`, which names the large members, and the
 * class of its query with `PageQueryOf`. The query then takes `view` and `fields`, and OpenAPI says what is left out.
 */
import { ApiProperty, DECORATORS } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ValidateBy, ValidateIf } from 'class-validator';
import { schemaOfClass } from '../shared/class-schema.js';
import { OneOf } from '../shared/fields.js';
import { PageQuery } from './request.js';

const VIEWS = ['basic', 'full'] as const;

const LARGE = Symbol('large members');
/** Where Nest keeps the documentation of a property. */
const DOCUMENTED = DECORATORS.API_MODEL_PROPERTIES;

type Class<T extends object = object> = new () => T;

/** The class of the rows: that of the resource, whose large members are left out without `?view=full`. */
export function Listed<T extends object, L extends keyof T & string>(
  resource: Class<T>,
  ...large: L[]
): Class<Omit<T, L> & Partial<Pick<T, L>>> {
  class Row extends (resource as Class) {}
  Reflect.defineMetadata(LARGE, large, Row);
  for (const name of large) {
    const known = Reflect.getMetadata(DOCUMENTED, Row.prototype, name) as { description: string };
    const description = `${known.description}. Left out without \`?view=full\` or \`?fields=${name}\``;
    Reflect.defineMetadata(DOCUMENTED, { ...known, required: false, description }, Row.prototype, name);
  }
  return Row as Class as Class<Omit<T, L> & Partial<Pick<T, L>>>;
}

function largeMembersOf(row: Class): readonly string[] {
  return (Reflect.getMetadata(LARGE, row) as string[] | undefined) ?? [];
}

/** The query of a list that chooses what its rows show. */
export interface RowQuery extends PageQuery {
  view?: (typeof VIEWS)[number];
  fields?: string[];
  /** The names of the members that each row has. */
  readonly members: readonly string[];
}

/** The class of the query of a list with such rows. */
export function PageQueryOf(row: Class): Class<RowQuery> {
  const all = Object.keys(schemaOfClass(row).properties ?? {});
  const large = largeMembersOf(row);
  const basic = all.filter((name) => !large.includes(name));
  class Query extends PageQuery implements RowQuery {
    view?: (typeof VIEWS)[number];

    @Fields(all)
    fields?: string[];

    get members(): readonly string[] {
      return this.fields ?? (this.view === 'full' ? all : basic);
    }
  }
  if (large.length > 0) View(large)(Query.prototype, 'view');
  return Query;
}

function View(large: readonly string[]): PropertyDecorator {
  const names = large.map((name) => `\`${name}\``).join(', ');
  const description = `\`full\` includes the large members, which are otherwise left out: ${names}`;
  return OneOf(VIEWS, { name: 'ListView', optional: true, default: 'basic', description });
}

/** Takes names with commas: `?fields=id,status`. */
function Fields(all: readonly string[]): PropertyDecorator {
  const isKnown = (value: unknown): boolean =>
    Array.isArray(value) && value.length <= all.length && value.every((name) => all.includes(name as string));
  return (target, key) => {
    Transform(({ value }: { value: unknown }) => [value].flat().join(',').split(','))(target, key);
    ValidateIf((_object, value) => value !== undefined)(target, key);
    ValidateBy({
      name: 'fields',
      validator: {
        validate: isKnown,
        defaultMessage: () => `must be members of a row, with commas: ${all.join(',')}`,
      },
    })(target, key);
    const description = `Only these members of each row, with commas: ${all.map((name) => `\`${name}\``).join(', ')}`;
    ApiProperty({ type: String, required: false, description, example: all.slice(0, 2).join(',') })(
      target,
      key,
    );
  };
}
