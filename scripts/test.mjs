// `npm test`: types, lint, architecture, unit, contract and end-to-end tests on both stores; ends with one line of sums.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { provideRedis } from './provide-redis.mjs';

provideRedis();
let passed = 0;
let failed = 0;

const check = spawnSync('npm', ['run', '--silent', 'check'], { stdio: 'inherit' });
if (check.status === 0) passed += 1;
else failed += 1;

const build = spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
if (build.status === 0) passed += 1;
else failed += 1;

const folder = mkdtempSync(join(tmpdir(), 'brain-test-'));
const report = join(folder, 'report.json');
const args = ['jest', '--ci', '--maxWorkers=2', '--json', `--outputFile=${report}`, ...process.argv.slice(2)];
spawnSync('npx', args, { stdio: ['ignore', 'ignore', 'inherit'] });
try {
  const result = JSON.parse(readFileSync(report, 'utf8'));
  passed += result.numPassedTests;
  // A test that is skipped, or a file that could not run, has shown nothing.
  failed +=
    result.numFailedTests + result.numRuntimeErrorTestSuites + result.numPendingTests + result.numTodoTests;
} catch {
  failed += 1;
}
rmSync(folder, { recursive: true, force: true });

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 2 ? 0 : 1);
