import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');

/** The curl lines of a page as requests, so that a test can send what its reader would type. */
export interface CurlRequest {
  line: string;
  method: string;
  /** With the query. */
  path: string;
  headers: Record<string, string>;
  body?: string;
  /** Where it ends on the page. */
  end: number;
}

/** One command, which continues after a backslash at the end of a line, and within quotes. */
const COMMAND = /^[ \t]*curl (?:'[^']*'|"[^"]*"|\\\n|[^'"\\\n])*$/gm;

/** Understands what our pages use, and fails on anything else instead of passing over it. */
export function curlRequests(page: string, variables: Record<string, string>): CurlRequest[] {
  const commands = [...page.matchAll(COMMAND)];
  if (commands.length !== page.match(/^\s*curl /gm)?.length) throw new Error('A curl line has no end.');
  return commands.map(({ 0: line, index }) => {
    const request: CurlRequest = { line, method: 'GET', path: '', headers: {}, end: index + line.length };
    const [, ...words] = wordsOf(line.trim(), variables);
    for (let word = words.shift(); word !== undefined; word = words.shift()) {
      const url = /^http:\/\/127\.0\.0\.1:8080(\/.*)$/.exec(word);
      if (word === '-H') {
        const [name, value] = (words.shift() ?? '').split(': ');
        if (!name || !value) throw new Error(`A header is cut off: ${line}`);
        request.headers[name] = value;
      } else if (word === '-X') request.method = words.shift() ?? '';
      else if (word === '-d') request.body = words.shift();
      else if (word === '--data-binary') request.body = fileOf(words.shift() ?? '');
      else if (url?.[1] && request.path === '') request.path = url[1];
      else if (word !== '-N') throw new Error(`What is ${word}? ${line}`);
    }
    if (request.path === '') throw new Error(`There is no URL: ${line}`);
    return request;
  });
}

/** The reader is in the folder of the project. */
function fileOf(word: string): string {
  if (!word.startsWith('@')) throw new Error(`${word} names no file`);
  return readFileSync(resolve(ROOT, word.slice(1)), 'utf8');
}

/** As a shell splits them: nothing is replaced in single quotes, variables are elsewhere. */
function wordsOf(line: string, variables: Record<string, string>): string[] {
  const words = line.replaceAll('\\\n', ' ');
  return [...words.matchAll(/'([^']*)'|"([^"]*)"|([^\s'"]+)/g)].map(([, literal, quoted, bare]) => {
    if (literal !== undefined) return literal;
    return (quoted ?? bare ?? '').replaceAll(/\$(\w+)/g, (_, name: string) => {
      const value = variables[name];
      if (value === undefined) throw new Error(`Nobody says what $${name} is: ${line}`);
      return value;
    });
  });
}
