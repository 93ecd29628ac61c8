// Before `npm start`: builds if there is no build, or if a source is newer than the last build.
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const newest = (folder) =>
  readdirSync(folder, { recursive: true }).reduce(
    (at, file) => Math.max(at, statSync(join(folder, file)).mtimeMs),
    0,
  );

const builtMs = statSync('dist/main.js', { throwIfNoEntry: false })?.mtimeMs ?? 0;
const sourcesMs = Math.max(newest('src'), statSync('package-lock.json').mtimeMs);
if (builtMs < sourcesMs) {
  console.log('Building (a few seconds) …');
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
}
