/** Patterns of `matches`: regular expressions anchored at the start of the text, in linear time whatever the pattern. */
import { RE2JS } from 're2js';

export interface Pattern {
  matches: (text: string) => boolean;
  /** Every text that matches begins with it. */
  prefix: string;
  /** Every text that begins with the prefix matches. */
  isPrefix: boolean;
}

const SPECIAL = new Set('\\.+*?()|[]{}^$');
const REPEATS = new Set('*+?{');

/** @throws when the pattern is not one */
export function patternOf(source: string): Pattern {
  const { text, rest } = literalStart(source);
  // Most patterns in policies are a word, or a word and anything after it: they need no machine.
  if (rest === '' || rest === '.*') return { matches: startsWith(text), prefix: text, isPrefix: true };
  if (rest === '$') return { matches: (other) => other === text, prefix: text, isPrefix: false };
  const machine = compiled(source);
  return { matches: (other) => machine.test(other), prefix: text, isPrefix: false };
}

function startsWith(prefix: string): (text: string) => boolean {
  return (text) => text.startsWith(prefix);
}

/**
 * A pattern is put into a group to anchor all its alternatives. Alone it must be a pattern too, else `a)|(b` would escape
 * from the group; only a closing bracket can. One that is a pattern only alone has a quotation which would quote the end of
 * the group: `\Q` opens it, and nothing closes it.
 */
function compiled(source: string): RE2JS {
  if (source.includes(')')) RE2JS.compile(source);
  try {
    return RE2JS.compile(`\\A(?:${source})`);
  } catch {
    // What is wrong with the pattern is said about the pattern as it was written.
    RE2JS.compile(source);
    return RE2JS.compile(`\\A(?:${source}\\E)`);
  }
}

/** The plain characters at the start of a pattern, and what follows them. Alternatives may begin with anything. */
function literalStart(source: string): { text: string; rest: string } {
  if (source.includes('|') || !isWellFormed(source)) return { text: '', rest: source };
  let at = source.startsWith('^') ? 1 : 0;
  let text = '';
  while (at < source.length) {
    const escaped = source[at] === '\\';
    const character = String.fromCodePoint(source.codePointAt(escaped ? at + 1 : at) ?? 0);
    // A backslash before a letter or a digit is a class or an assertion; before anything else it is that character.
    if (escaped ? !SPECIAL.has(character) : SPECIAL.has(character)) break;
    const next = at + (escaped ? 1 : 0) + character.length;
    if (REPEATS.has(source[next])) break;
    text += character;
    at = next;
  }
  return { text, rest: source.slice(at) };
}

function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}

const TOKENS =
  /\\[pP](?:\{[^}]*\}|.)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\{(\d+)(?:,(\d*))?\}|\(|\)|./gsu;
/** A class of Unicode is a table of its own each time. */
const TABLE_WEIGHT = 20;

/** About how many states the machine for a pattern has: what is repeated counts as often as it may occur. */
export function weightOf(source: string): number {
  const groups = [{ sum: 0, last: 0 }];
  const put = (weight: number): void => {
    const group = groups[groups.length - 1];
    group.sum += weight;
    group.last = weight;
  };
  for (const [token, least, most] of source.matchAll(TOKENS)) {
    if (token === '(') groups.push({ sum: 0, last: 0 });
    else if (token === ')' && groups.length > 1) put(1 + (groups.pop()?.sum ?? 0));
    else if (least !== undefined)
      repeat(groups[groups.length - 1], Math.max(Number(least), Number(most || 0)));
    else put(/\\[pP]/.test(token) ? TABLE_WEIGHT : 1);
  }
  return groups.reduce((sum, group) => sum + group.sum, 0);
}

function repeat(group: { sum: number; last: number }, times: number): void {
  group.sum += group.last * (times - 1);
  group.last *= times;
}
