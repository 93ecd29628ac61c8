/**
 * Finds members that occur twice in an object of a JSON text. `JSON.parse` takes the last one, and another reader may take
 * the first: what a gateway has checked would not be what this service decides.
 */
import { pointerTo } from '../shared/errors.js';

/** No body that is accepted is deeper. Beyond it the pointer leads to what contains the duplicate. */
const MAX_LEVELS = 64;
const QUOTE = 34;
const COLON = 58;
const BACKSLASH = 92;
const SPACE = 32;

/**
 * At least as many as the members in a valid JSON text, and mostly exactly as many: the colons that may come after a name. A
 * text whose objects have as many members together has no duplicates. It looks only at colons, because it reads every body.
 */
export function mostMembersIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) {
    const before = text.charCodeAt(at - 1);
    if (before === QUOTE ? !isEscaped(text, at - 1) : before <= SPACE) count += 1;
  }
  return count;
}

/** An escaped quote is inside a string, such as JSON in a text. */
function isEscaped(text: string, quote: number): boolean {
  let at = quote;
  while (text.charCodeAt(at - 1) === BACKSLASH) at -= 1;
  return (quote - at) % 2 === 1;
}

/** An open object or list. */
interface Level {
  /** The names so far; undefined in a list. */
  names?: Set<string>;
  /** The current member. */
  at: string | number;
}

/** The JSON pointer to the first member whose object already has its name. The text must be valid JSON. */
export function duplicateMemberIn(text: string): string | undefined {
  const levels: Level[] = [];
  for (let i = 0; i < text.length; i += 1) {
    const level = levels.at(-1);
    switch (text[i]) {
      case '{':
        levels.push({ names: new Set(), at: '' });
        break;
      case '[':
        levels.push({ at: 0 });
        break;
      case '}':
      case ']':
        levels.pop();
        break;
      case ',':
        if (typeof level?.at === 'number') level.at += 1;
        break;
      case '"': {
        const start = i;
        i = endOfString(text, start);
        if (!level?.names || !isName(text, i + 1)) break;
        const name = JSON.parse(text.slice(start, i + 1)) as string;
        level.at = name;
        if (level.names.has(name)) return pointerOf(levels);
        level.names.add(name);
      }
    }
  }
  return undefined;
}

function pointerOf(levels: readonly Level[]): string {
  return levels
    .slice(0, MAX_LEVELS)
    .map(({ at }) => pointerTo(String(at)))
    .join('');
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH) at += 1;
  }
}

/** Whether a colon follows. */
function isName(text: string, after: number): boolean {
  let at = after;
  while (text.charCodeAt(at) <= SPACE) at += 1;
  return text.charCodeAt(at) === COLON;
}
