// The tests start real Redis processes. If there is no server on the PATH, this installs that of Debian, as root on Debian.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

export function provideRedis() {
  if (has('redis-server') || has('valkey-server')) return;
  const debian = existsSync('/etc/debian_version') && process.getuid?.() === 0;
  if (!debian) {
    console.error(`The tests need a Redis server and there is none on the PATH. Install one and run npm test again:
  Debian, Ubuntu   sudo apt-get install redis-server
  Fedora           sudo dnf install valkey
  macOS            brew install redis`);
    process.exit(1);
  }
  console.log('There is no redis-server on the PATH: installing it with apt-get …');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('apt-get', ['update', '-qq'], { stdio: 'inherit', env });
  // The service of the package must not start. The tests start their own servers on free ports.
  execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'redis-server'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...env, RUNLEVEL: '1' },
  });
  if (!has('redis-server')) {
    console.error('apt-get installed no redis-server; install one and run npm test again.');
    process.exit(1);
  }
}

if (import.meta.filename === process.argv[1]) provideRedis();
