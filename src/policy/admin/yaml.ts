/** Reads and writes policies as YAML. */
import { Worker } from 'node:worker_threads';
import { BrainError, messageOf } from '../../shared/errors.js';
import type { PolicyContent } from '../engine/policy.dto.js';

/** The parser needs about a millisecond for a kilobyte, so this is enough for the largest import on a slow machine. */
const MAX_MS = 30_000;
/** The most threads at once: each can use a whole core, and more memory than the rest of the service. */
const MAX_READERS = 2;
const MAX_READER_MIB = 2048;
/** Allows some aliases, but not enough to expand a kilobyte to a gigabyte. */
const OPTIONS = { maxAliasCount: 100, schema: 'core', uniqueKeys: false, logLevel: 'error' };
/** The most characters of the text as JSON, with its aliases expanded. */
const MAX_CHARACTERS = 32 * 1024 * 1024;

let activeReaders = 0;

/** Parses in a separate thread: a hostile text can take minutes or a gigabyte, and a thread can be stopped. */
export async function readYaml(text: string): Promise<unknown> {
  if (activeReaders >= MAX_READERS) {
    const detail = 'The service reads other imports at the moment; try again in a second.';
    throw new BrainError('unavailable', 'imports_busy', detail, { retryAfterSeconds: 1 });
  }
  activeReaders += 1;
  try {
    return JSON.parse(await jsonOf(text)) as unknown;
  } catch (error) {
    const [first = ''] = messageOf(error).split('\n');
    const fault = first.slice(0, 300).replace(/[:.]$/, '');
    const detail = `The body is not valid YAML: ${fault}. Correct it, or send JSON.`;
    throw new BrainError('malformed', 'malformed_yaml', detail);
  } finally {
    activeReaders -= 1;
  }
}

function jsonOf(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const workerData = { text, options: OPTIONS, maxCharacters: MAX_CHARACTERS };
    const resourceLimits = { maxOldGenerationSizeMb: MAX_READER_MIB };
    const file = new URL('./yaml.worker.js', import.meta.url);
    const worker = new Worker(file, { workerData, resourceLimits });
    const timer = setTimeout(() => {
      reject(new Error(`reading it takes more than ${MAX_MS / 1000} seconds; split it`));
      void worker.terminate();
    }, MAX_MS);
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => {
      clearTimeout(timer);
      reject(new Error('the reader stopped; the text may need too much memory'));
    });
  });
}

/** Quotes strings as JSON does, which is valid YAML. So no name is read as a number, a date or a boolean. */
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

/** The policies in the format of the import, one part for each policy. */
export async function* yamlOf(policies: AsyncIterable<PolicyContent>): AsyncGenerator<string> {
  let isEmpty = true;
  for await (const policy of policies) {
    if (isEmpty) yield 'policies:\n';
    isEmpty = false;
    yield writeYaml(policy);
  }
  if (isEmpty) yield 'policies: []\n';
}
