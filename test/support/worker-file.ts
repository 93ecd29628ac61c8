/** In place of `src/policy/heavy/worker-file.ts`: compiles the thread and what it imports into a temporary folder. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { transformFileSync } from '@swc/core';

const ROOT = resolve(__dirname, '../..');
/** Without the DTOs, of which the thread needs only types. */
const LEFT_OUT = /\.(spec|dto|d)\.ts$/;
let folder: string | undefined;

export function workerFile(): URL {
  folder ??= compiled();
  return pathToFileURL(join(folder, 'policy/heavy/heavy.worker.js'));
}

function compiled(): string {
  const target = realpathSync(mkdtempSync(join(tmpdir(), 'brain-worker-')));
  process.once('exit', () => rmSync(target, { recursive: true, force: true }));
  for (const part of ['policy/engine', 'policy/heavy', 'shared']) {
    const names = readdirSync(join(ROOT, 'src', part)).filter((name) => name.endsWith('.ts'));
    for (const name of names.filter((one) => !LEFT_OUT.test(one))) compile(target, `${part}/${name}`);
  }
  writeFileSync(join(target, 'package.json'), '{"type":"module"}');
  symlinkSync(join(ROOT, 'node_modules'), join(target, 'node_modules'));
  return target;
}

function compile(folder: string, source: string): void {
  const target = join(folder, source.replace(/\.ts$/, '.js'));
  mkdirSync(dirname(target), { recursive: true });
  const { code } = transformFileSync(join(ROOT, 'src', source), {
    swcrc: false,
    configFile: false,
    module: { type: 'es6' },
    jsc: { target: 'es2022', parser: { syntax: 'typescript', decorators: true } },
  });
  writeFileSync(target, code);
}
