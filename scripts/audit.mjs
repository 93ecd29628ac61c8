// `npm run audit`: known vulnerabilities of everything in the two lock files. Packages of the bundle are development
// dependencies, so none is left out. Exit code 1: some are high or critical. Exit code 2: the registry does not answer audits.
import { spawnSync } from 'node:child_process';

const LEVELS = ['critical', 'high', 'moderate', 'low'];
let code = 0;

for (const folder of ['.', 'bench']) {
  const { stdout } = spawnSync('npm', ['audit', '--json', '--package-lock-only'], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const { found, reason } = resultOf(stdout);
  const where = folder === '.' ? 'package-lock.json' : `${folder}/package-lock.json`;
  if (found) {
    console.log(`${where}: ${LEVELS.map((level) => `${found[level]} ${level}`).join(', ')}`);
    if (found.critical + found.high > 0) code = 1;
  } else {
    console.log(
      `${where}: not audited: ${reason}. Use a registry that answers audits: npm_config_registry=…`,
    );
    code ||= 2;
  }
}
if (code === 1) console.log('Run `npm audit` for the details.');
process.exit(code);

function resultOf(stdout) {
  try {
    const report = JSON.parse(stdout);
    const found = report.metadata?.vulnerabilities;
    return found ? { found } : { reason: report.error?.summary || report.message || 'npm has no result' };
  } catch {
    return { reason: 'npm printed no result' };
  }
}
