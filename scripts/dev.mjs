// `npm run dev`: compiles each change, and then starts the service again.
import { spawn, spawnSync } from 'node:child_process';
import { watch } from 'node:fs';
import { copyAssets, isAsset, TSC } from './compile.mjs';

const run = (...args) => spawn(process.execPath, args, { stdio: 'inherit' });

const { status } = spawnSync(process.execPath, ['scripts/compile.mjs'], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);
const children = [
  run(TSC, '-p', 'tsconfig.build.json', '--watch', '--preserveWatchOutput'),
  run('--watch', '--enable-source-maps', 'build/main.js'),
];
watch('src', { recursive: true }, (_event, path) => {
  if (path && isAsset(path)) copyAssets();
});
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    for (const child of children) child.kill(signal);
    process.exit(0);
  });
}
