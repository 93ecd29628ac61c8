/** Policies as YAML: how they are read and written. */
import { Worker } from 'node:worker_threads';
import { BrainError, messageOf } from '../../shared/errors.js';
import type { PolicyContent } from '../engine/policy.dto.js';

/** Longer than any import of sane size takes on a slow machine; the reader takes about a millisecond for a kilobyte. */
const MAX_MS = 30_000;
/** So many threads read at once; each may take all of a core, and more memory than the rest of the service. */
const MAX_READERS = 2;
const MAX_READER_MIB = 2048;
/** A few aliases save writing; those that would make a gigabyte of a kilobyte are refused. */
const OPTIONS = { maxAliasCount: 100, schema: 'core', uniqueKeys: false, logLevel: 'error' };
/** As JSON, with its aliases replaced: what the largest body may reasonably become. */
const MAX_CHARACTERS = 32 * 1024 * 1024;

let reading = 0;

/** Takes as long as it takes, in a thread of its own. */
export async function readYaml(text: string): Promise<unknown> {
  if (reading >= MAX_READERS) {
    const detail = 'Other imports are being read; try again in a moment.';
    throw new BrainError('unavailable', 'imports_busy', detail, { retryAfterSeconds: 1 });
  }
  reading += 1;
  try {
    return JSON.parse(await jsonOf(text)) as unknown;
  } catch (error) {
    const [first = ''] = messageOf(error).split('\n');
    throw new BrainError('malformed', 'malformed_yaml', `The body is not valid YAML: ${first.slice(0, 300)}`);
  } finally {
    reading -= 1;
  }
}

function jsonOf(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const workerData = { text, options: OPTIONS, maxCharacters: MAX_CHARACTERS };
    const resourceLimits = { maxOldGenerationSizeMb: MAX_READER_MIB };
    const file = new URL('./yaml.worker.js', import.meta.url);
    const worker = new Worker(file, { workerData, resourceLimits });
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
function writeYaml(policy: PolicyContent): string {
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

/** Policies as the import takes them, one after another. */
export async function* yamlOf(policies: AsyncIterable<PolicyContent>): AsyncGenerator<string> {
  let any = false;
  for await (const policy of policies) {
    if (!any) yield 'policies:\n';
    any = true;
    yield writeYaml(policy);
  }
  if (!any) yield 'policies: []\n';
}
