/** Policies as YAML: how they are read and written. */
import { Worker } from 'node:worker_threads';
import { parse } from 'yaml';
import { BrainError, messageOf } from '../shared/errors.js';
import type { PolicyContent } from './policy.dto.js';

/** The reader takes about a millisecond for a kilobyte; what is longer is read beside the event loop. */
const INLINE_CHARACTERS = 8 * 1024;
/** Longer than any import of sane size takes on a slow machine. */
const MAX_MS = 30_000;
/** Aliases that would make a gigabyte of a kilobyte are refused by the reader. */
export const YAML_OPTIONS = { maxAliasCount: 100, schema: 'core', uniqueKeys: true } as const;

export async function readYaml(text: string): Promise<unknown> {
  try {
    if (text.length <= INLINE_CHARACTERS) return parse(text, YAML_OPTIONS) as unknown;
    return await readAside(text);
  } catch (error) {
    const [first = ''] = messageOf(error).split('\n');
    throw new BrainError('malformed', 'malformed_yaml', `The body is not valid YAML: ${first.slice(0, 300)}`);
  }
}

function readAside(text: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const workerData = { text, options: YAML_OPTIONS };
    const worker = new Worker(new URL('./policy.yaml.worker.js', import.meta.url), { workerData });
    const timer = setTimeout(() => {
      reject(new Error('reading it takes too long'));
      void worker.terminate();
    }, MAX_MS);
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => {
      clearTimeout(timer);
      reject(new Error('it could not be read'));
    });
  });
}

/** Strings are quoted as in JSON, which YAML takes as they are: no name is mistaken for a number, a date or a no. */
export function writeYaml(policy: PolicyContent): string {
  const { rules, ...fields } = policy;
  const lines = Object.entries(fields).map(([name, value]) => `    ${name}: ${JSON.stringify(value)}`);
  lines[0] = lines[0].replace('    ', '  - ');
  lines.push(rules.length === 0 ? '    rules: []' : '    rules:');
  for (const { conditions, ...rule } of rules) {
    const own = Object.entries(rule).map(([name, value]) => `        ${name}: ${JSON.stringify(value)}`);
    own[0] = own[0].replace('        ', '      - ');
    lines.push(...own, conditions.length === 0 ? '        conditions: []' : '        conditions:');
    for (const condition of conditions) lines.push(`          - ${JSON.stringify(condition)}`);
  }
  return `${lines.join('\n')}\n`;
}
