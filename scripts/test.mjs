// `npm test`: types, lint, architecture, unit, contract and end-to-end tests on both stores. If this Node is older than that
// of the image, some tests of whole processes run again on the Node of the image. The last line has the sums.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { otherNode } from './other-node.mjs';
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

jest(['--maxWorkers=2', ...process.argv.slice(2)], process.env);

/** The version of Node in the image, from .nvmrc. */
const LTS = readFileSync('.nvmrc', 'utf8').trim();
/** Tests that start the built service: a crash, an outage of Redis, an orderly shutdown. */
const PROCESS_TESTS = ['test/faults.spec', 'test/freshness.spec', 'test/shutdown.spec'];
const isOlder = Number(process.versions.node.split('.')[0]) < Number(LTS);
const isWholeRun = process.argv.length === 2 && process.env.TEST_ONLY_THIS_NODE === undefined;
if (isOlder && isWholeRun && process.platform === 'linux' && process.arch === 'x64') {
  try {
    const { version, env, remove } = otherNode(LTS);
    console.log(`Tests of processes on Node ${version} …`);
    jest(['--runInBand', ...PROCESS_TESTS], env);
    remove();
  } catch (error) {
    console.error(`Node ${LTS} cannot be installed: ${error instanceof Error ? error.message : error}`);
    failed += 1;
  }
}

/** Runs Jest and adds to the sums. */
function jest(args, env) {
  const folder = mkdtempSync(join(tmpdir(), 'brain-test-'));
  const report = join(folder, 'report.json');
  spawnSync('npx', ['jest', '--ci', '--json', `--outputFile=${report}`, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env,
  });
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'));
    passed += result.numPassedTests;
    // A skipped test and a file that could not run count as failures.
    failed +=
      result.numFailedTests + result.numRuntimeErrorTestSuites + result.numPendingTests + result.numTodoTests;
  } catch {
    failed += 1;
  }
  rmSync(folder, { recursive: true, force: true });
}

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 2 ? 0 : 1);
