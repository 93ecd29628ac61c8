/**
 * The patterns of `matches`, which match at the start of a text, and of `search`, which match anywhere. RE2 runs in linear
 * time: at most the size of the pattern times the length of the text. `costs.ts` bounds this for all conditions of a decision.
 */
import { RE2JS } from 're2js';
import { isWellFormed } from '../../shared/json.js';

export interface Pattern {
  matches: (text: string) => boolean;
  /** Every matching text starts with it. */
  prefix: string;
  /** Every text that starts with the prefix matches. */
  isPrefix: boolean;
  /** The instructions of RE2; 0 if the pattern needs no regular expression. */
  size: number;
  /** The pattern is this plain text, anywhere in the text. */
  part?: string;
}

const SPECIAL = new Set('\\.+*?()|[]{}^$');
const REPEATS = new Set('*+?{');

/** Makes the pattern of each operator that needs one. It throws when the source is not a regular expression of RE2. */
export interface Patterns {
  matches: (source: string) => Pattern;
  search: (source: string) => Pattern;
}

export const PATTERNS: Patterns = { matches: anchored, search: anywhere };

function anchored(source: string): Pattern {
  const { text, rest } = literalStart(source);
  // Most patterns of policies are a plain word, or a word and anything after it: they need no regular expression.
  if (rest === '' || rest === '.*')
    return { matches: startsWith(text), prefix: text, isPrefix: true, size: 0 };
  if (rest === '$') return { matches: (other) => other === text, prefix: text, isPrefix: false, size: 0 };
  return expressionOf(compiled(source), text);
}

function anywhere(source: string): Pattern {
  const { text, rest } = literalStart(source);
  // Without `^`, which `literalStart` skips, the whole pattern is a plain word.
  if (rest === '' && !source.startsWith('^'))
    return { matches: (other) => other.includes(text), prefix: '', isPrefix: false, size: 0, part: text };
  return expressionOf(RE2JS.compile(source), '');
}

/** RE2 would read a text without the prefix to its end. */
function expressionOf(expression: RE2JS, prefix: string): Pattern {
  const matches = (text: string): boolean => text.startsWith(prefix) && expression.test(text);
  return { matches, prefix, isPrefix: false, size: expression.programSize() };
}

function startsWith(prefix: string): (text: string) => boolean {
  return (text) => text.startsWith(prefix);
}

/**
 * Puts the pattern into a group, so that the anchor applies to all its alternatives. A pattern with a closing bracket must
 * also compile on its own; else `a)|(b` would end the group early and escape the anchor. If only the group fails to compile,
 * the pattern has an open quotation `\Q` that includes the end of the group; then `\E` closes it.
 */
function compiled(source: string): RE2JS {
  if (source.includes(')')) RE2JS.compile(source);
  try {
    return RE2JS.compile(`\\A(?:${source})`);
  } catch {
    // If the pattern itself is wrong, this throws an error about the text that the author wrote.
    RE2JS.compile(source);
    return RE2JS.compile(`\\A(?:${source}\\E)`);
  }
}

/** The plain characters at the start of a pattern, and the rest. A pattern with alternatives has no common start. */
function literalStart(source: string): { text: string; rest: string } {
  if (source.includes('|') || !isWellFormed(source)) return { text: '', rest: source };
  let at = source.startsWith('^') ? 1 : 0;
  let text = '';
  while (at < source.length) {
    const escaped = source[at] === '\\';
    const character = String.fromCodePoint(source.codePointAt(escaped ? at + 1 : at) ?? 0);
    // A backslash before a special character means that character; before a letter or digit it is a class or an assertion.
    if (escaped ? !SPECIAL.has(character) : SPECIAL.has(character)) break;
    const next = at + (escaped ? 1 : 0) + character.length;
    if (REPEATS.has(source[next])) break;
    text += character;
    at = next;
  }
  return { text, rest: source.slice(at) };
}

/** Whether the author has thought of where the pattern matches: it has an anchor, or `.*` or `.+`. */
export function saysWhere(source: string): boolean {
  const tokens = [...source.matchAll(TOKENS)].map(([token]) => token);
  const isAnchor = (token: string): boolean => ['^', '$', '\\A', '\\z'].includes(token);
  return tokens.some((token, i) => isAnchor(token) || (token === '.' && /^[*+]$/.test(tokens[i + 1] ?? '')));
}

const TOKENS =
  /\\[pP](?:\{[^}]*\}|.)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\{(\d+)(?:,(\d*))?\}|\(|\)|./gsu;
/** RE2 builds a table for each Unicode class. */
const TABLE_WEIGHT = 20;

/** An estimate of the compiled size of a pattern, without compiling it. A repetition counts as often as it may occur. */
export function weightOf(source: string): number {
  const groups = [{ sum: 0, last: 0 }];
  const add = (weight: number): void => {
    const group = groups[groups.length - 1];
    group.sum += weight;
    group.last = weight;
  };
  for (const [token, least, most] of source.matchAll(TOKENS)) {
    if (token === '(') groups.push({ sum: 0, last: 0 });
    else if (token === ')' && groups.length > 1) add(1 + (groups.pop()?.sum ?? 0));
    else if (least !== undefined)
      repeat(groups[groups.length - 1], Math.max(Number(least), Number(most || 0)));
    else add(/\\[pP]/.test(token) ? TABLE_WEIGHT : 1);
  }
  return groups.reduce((sum, group) => sum + group.sum, 0);
}

function repeat(group: { sum: number; last: number }, times: number): void {
  group.sum += group.last * (times - 1);
  group.last *= times;
}
