// Compiles src into build/, and copies the Lua scripts, which the compiler leaves out.
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const ASSET = /\.lua$/;
export const TSC = createRequire(import.meta.url).resolve('typescript/bin/tsc');

export const isAsset = (path) => ASSET.test(path);

export function copyAssets() {
  for (const path of readdirSync('src', { recursive: true }).filter(isAsset))
    cpSync(join('src', path), join('build', path));
}

if (import.meta.filename === process.argv[1]) {
  rmSync('build', { recursive: true, force: true });
  const { status } = spawnSync(process.execPath, [TSC, '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  copyAssets();
}
