import { CHECK, MARK, REMOVAL, WRITE } from './commit-operations.js';
import { SCRIPTS } from './scripts.js';

const OPERATIONS: Record<string, string> = { ...CHECK, ...REMOVAL, ...WRITE };

describe('the names of commit.lua', () => {
  const header = SCRIPTS.commit.text.split(']]')[0];
  const constants = (text: string): Record<string, string> =>
    Object.fromEntries(
      [...text.matchAll(/\b([A-Z][A-Z_]+) = '(\w|\\\d)'/g)].map(([, name, value]) => [name, value]),
    );

  it('are those of the table of operations, in the code and the header of the script', () => {
    const code = constants(SCRIPTS.commit.text);
    for (const [name, letter] of Object.entries(OPERATIONS)) {
      expect([name, code[name]]).toEqual([name, letter]);
      expect(header).toMatch(new RegExp(`^ *${letter} +${name}\\b`, 'm'));
    }
    expect(new Set(Object.values(OPERATIONS)).size).toBe(Object.keys(OPERATIONS).length);
  });

  it('are those of the table of marks', () => {
    const code = constants(SCRIPTS.commit.text);
    for (const [name, mark] of Object.entries(MARK)) {
      const escaped = `\\${mark.charCodeAt(0)}`;
      expect([name, code[`MARK_${name}`]]).toEqual([name, escaped]);
      expect(header).toMatch(new RegExp(`^ *\\${escaped} +MARK_${name}\\b`, 'm'));
    }
  });
});
