/**
 * The scripts that run inside Redis. The header of each file says which arguments it has and what it returns. A line
 * `--include <name>` stands for the content of another file.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface Script {
  text: string;
  sha: string;
}

export const SCRIPTS = {
  commit: load('commit'),
  list: load('list'),
  unique: load('unique'),
  counts: load('counts'),
  next: load('next'),
  acquire: load('acquire'),
  renew: load('renew'),
  readLog: load('log-read'),
  logBounds: load('log-bounds'),
  trimLog: load('log-trim'),
  terms: load('terms'),
};

function load(name: string): Script {
  const text = textOf(name).replace(/^--include (\S+)$/gm, (_, part: string) => textOf(part));
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}

function textOf(name: string): string {
  return readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');
}
