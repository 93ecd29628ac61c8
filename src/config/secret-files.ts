/** Reads secret settings from files, as Docker and Kubernetes mount them: `<NAME>_FILE` names the file with the value. */
import { readFileSync } from 'node:fs';
import { allSettings } from './settings.js';

type Environment = Record<string, string | undefined>;

export function secretNames(): string[] {
  return Object.entries(allSettings()).flatMap(([name, { secret }]) => (secret ? [name] : []));
}

export function fileNameOf(name: string): string {
  return `${name}_FILE`;
}

/** The environment with the values from files. A fault never has the path: it may be the secret itself, set by mistake. */
export function withSecretFiles(env: Environment, faults: string[]): Environment {
  const filled = { ...env };
  for (const name of secretNames()) {
    const fileName = fileNameOf(name);
    const path = env[fileName] ?? '';
    if (path === '') continue;
    if ((env[name] ?? '') !== '') faults.push(`${name} and ${fileName} are both set; remove one of them`);
    else filled[name] = read(path, fileName, faults);
  }
  return filled;
}

function read(path: string, fileName: string, faults: string[]): string | undefined {
  try {
    const text = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
    if (text === '') faults.push(`${fileName} names a file that is empty; write the value into it`);
    return text;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    faults.push(`${fileName} names a file that cannot be read (${code}); check its path and permissions`);
    return undefined;
  }
}
