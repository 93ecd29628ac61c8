/** Reads and writes policies as YAML. */
import { BrainError } from '../../shared/errors.js';
import type { PolicyContent } from '../engine/policy.dto.js';
import { type HeavyWork, JobFault } from '../heavy/heavy-work.js';

/** Parses in a separate thread: a hostile text can take minutes or a gigabyte. */
export async function parseYaml(text: string, heavy: HeavyWork, gone: AbortSignal): Promise<unknown> {
  try {
    return JSON.parse(await heavy.run('yaml', text, gone)) as unknown;
  } catch (error) {
    if (!(error instanceof JobFault)) throw error;
    const [first = ''] = error.message.split('\n');
    const fault = first.slice(0, 300).replace(/[:.]$/, '');
    const detail = `The body is not valid YAML: ${fault}. Correct it, or send JSON.`;
    throw new BrainError('malformed', 'malformed_yaml', detail);
  }
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
