/** Up to this length of the part, the search of the language is linear enough, and much faster. */
const SHORT = 64;

/**
 * Whether the text contains the part, in time that is linear in both (Knuth, Morris and Pratt). `String.includes` can take the
 * product of both lengths, which is seconds for a request that chooses the two.
 */
export function includesText(text: string, part: string): boolean {
  if (part.length <= SHORT) return text.includes(part);
  if (part.length > text.length) return false;
  const borders = bordersOf(part);
  let matched = 0;
  for (let i = 0; i < text.length; i += 1) {
    while (matched > 0 && text[i] !== part[matched]) matched = borders[matched - 1];
    if (text[i] === part[matched]) matched += 1;
    if (matched === part.length) return true;
  }
  return false;
}

/** For each start of the part: how long a shorter start is that also ends there. */
function bordersOf(part: string): Int32Array {
  const borders = new Int32Array(part.length);
  let length = 0;
  for (let i = 1; i < part.length; i += 1) {
    while (length > 0 && part[i] !== part[length]) length = borders[length - 1];
    if (part[i] === part[length]) length += 1;
    borders[i] = length;
  }
  return borders;
}
