import fc from 'fast-check';
import { isNestedDeeply as isNestedDeeplyIn } from './nesting.js';

const isNestedDeeply = (text: string): boolean => isNestedDeeplyIn(Buffer.from(text));

describe('the nesting of a JSON text', () => {
  it('is found before the text is parsed', () => {
    expect(isNestedDeeply('['.repeat(64))).toBe(false);
    expect(isNestedDeeply('['.repeat(65))).toBe(true);
    expect(isNestedDeeply('{"a":[1,'.repeat(33))).toBe(true);
    expect(isNestedDeeply('[],{},'.repeat(1000))).toBe(false);
    expect(isNestedDeeply(`"${'['.repeat(100)}"`)).toBe(false);
    expect(isNestedDeeply(`["\\"${'['.repeat(100)}"]`)).toBe(false);
    expect(isNestedDeeply(`["\\\\"${'['.repeat(100)}`)).toBe(true);
    expect(isNestedDeeply(`"${'['.repeat(100)}`)).toBe(false);
  });

  it('is that of the value', () => {
    const depthOf = (value: unknown): number =>
      typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;
    const nested = fc
      .integer({ min: 0, max: 70 })
      .chain((depth) => fc.json().map((text) => '[1,{"a\\"]":'.repeat(depth) + text + '}]'.repeat(depth)));
    fc.assert(
      fc.property(nested, (text) => {
        expect(isNestedDeeply(text)).toBe(depthOf(JSON.parse(text)) > 64);
      }),
    );
  });
});
