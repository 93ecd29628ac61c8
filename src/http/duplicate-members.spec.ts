import fc from 'fast-check';
import { pointerTo } from '../shared/errors.js';
import { duplicateMemberIn, mostMembersIn } from './duplicate-members.js';

/** JSON as it is written: an object may have a name twice. */
type Written = string | number | boolean | null | Written[] | { members: [string, Written][] };

const name = fc.constantFrom('a', 'b', ':', 'a:', '"', '\\', '":', '\\":', ' :', '/~', 'é', '__proto__', '0');
const { value: written } = fc.letrec<{ value: Written; list: Written[]; object: Written }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    name,
    fc.constantFrom(0, -1.5, true, null),
    tie('list'),
    tie('object'),
  ),
  list: fc.array(tie('value'), { maxLength: 4 }),
  object: fc.record({ members: fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }) }),
}));

/** The reference: it walks what is written, in the order of the text. */
function firstDuplicate(value: Written, at = ''): string | undefined {
  if (Array.isArray(value)) return first(value.map((one, i) => () => firstDuplicate(one, `${at}/${i}`)));
  if (typeof value !== 'object' || value === null) return undefined;
  const names = value.members.map(([one]) => one);
  return first(
    value.members.map(([one, member], i) => () => {
      const pointer = at + pointerTo(one);
      return names.indexOf(one) < i ? pointer : firstDuplicate(member, pointer);
    }),
  );
}

function first(searches: (() => string | undefined)[]): string | undefined {
  for (const search of searches) {
    const found = search();
    if (found !== undefined) return found;
  }
  return undefined;
}

function membersOf(value: Written): number {
  if (Array.isArray(value)) return value.reduce<number>((sum, one) => sum + membersOf(one), 0);
  if (typeof value !== 'object' || value === null) return 0;
  return value.members.reduce((sum, [, one]) => sum + 1 + membersOf(one), 0);
}

/** Writes it with spaces and escapes anywhere. `choose` gives a number below its argument. */
function textOf(value: Written, choose: (below: number) => number): string {
  const space = (): string => ['', '', ' ', '\n\t'][choose(4)];
  const parts = (texts: string[]): string =>
    texts.map((text) => `${space()}${text}${space()}`).join(',') || space();
  const quoted = (text: string): string => {
    const escaped = (one: string): string => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`;
    return `"${[...text].map((one) => (choose(4) === 0 ? escaped(one) : JSON.stringify(one).slice(1, -1))).join('')}"`;
  };
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return `[${parts(value.map((one) => textOf(one, choose)))}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = value.members.map(([one, member]) => {
    const colon = `${space()}:${space()}`;
    return quoted(one) + colon + textOf(member, choose);
  });
  return `{${parts(members)}}`;
}

const text = fc.tuple(written, fc.infiniteStream(fc.nat(11))).map(([value, numbers]) => ({
  value,
  text: textOf(value, (below) => Number(numbers.next().value) % below),
}));

describe('duplicate members', () => {
  it('are found wherever they are and however they are written', () => {
    fc.assert(
      fc.property(text, ({ value, text }) => {
        expect(duplicateMemberIn(text)).toBe(firstDuplicate(value));
      }),
      { numRuns: 2000 },
    );
  });

  it('cannot hide from the count of members', () => {
    fc.assert(
      fc.property(text, ({ value, text }) => {
        expect(mostMembersIn(text)).toBeGreaterThanOrEqual(membersOf(value));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['{"a": 1, "b": {"c:": "d:e"}}', 3],
    ['{"json": "{\\"a\\":1}", "path\\\\":1}', 2],
    ['["a", 1]', 0],
  ])('are not looked for twice in a usual text: %s', (text, members) => {
    expect(mostMembersIn(text)).toBe(members);
  });

  it('are found in a text of any depth, with a short pointer', () => {
    const levels = 100_000;
    const text = `${'['.repeat(levels)}{"a": 1, "\\u0061": 2}${']'.repeat(levels)}`;
    expect(duplicateMemberIn(text)).toBe('/0'.repeat(64));
  });
});
