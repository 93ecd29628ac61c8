/** Starts the processes of the benchmarks, all on 127.0.0.1. All of them end with the run. */
import { execFileSync, fork, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export const HERE = import.meta.dirname;
export const ROOT = resolve(HERE, '..');
const KEY = 'a-key-that-only-the-benchmarks-use-0123456789';
export const headers = { Authorization: `Bearer ${KEY}` };
const START_MS = 60_000;

const running = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));

export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'brain-bench-'));
  folders.add(folder);
  return folder;
}

export function remove(folder) {
  rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}

function kept(child) {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

export async function stop({ child }) {
  if (!running.has(child)) return;
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  await Promise.race([ended, sleep(5000, undefined, { ref: false })]);
  child.kill('SIGKILL');
  await ended;
}

/** The settings in the environment of the caller must not change what is measured. */
function environment(settings) {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(BRAIN_|REDIS_URL$|PORT$)/.test(name));
  return { ...Object.fromEntries(inherited), NODE_ENV: 'production', ...settings };
}

/** Starts a server and resolves with the first URL that it prints. */
export async function startServer(script, settings = {}, flags = []) {
  const args = [...flags, script];
  const options = { env: environment({ PORT: '0', ...settings }), stdio: ['ignore', 'pipe', 'inherit'] };
  const child = kept(spawn(process.execPath, args, options));
  const url = await new Promise((found, failed) => {
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const match = /http:\/\/127\.0\.0\.1:\d+/.exec(line);
      if (match) found(match[0]);
    });
    child.once('exit', (code) => failed(new Error(`${script} ended with ${code} before it listened`)));
    sleep(START_MS, undefined, { ref: false }).then(() => failed(new Error(`${script} does not start`)));
  });
  return { child, url };
}

/** The V8 flags that `npm start` uses here. */
export const SERVICE_FLAGS = execFileSync('sh', [join(ROOT, 'scripts/start.sh'), '--flags'], {
  encoding: 'utf8',
})
  .trim()
  .split('\n');

/** A benchmark sends more than one client may, and each of its decisions is recorded. */
const NO_LIMITS = {
  BRAIN_DECISIONS_RECORDED_PER_MINUTE: '0',
  BRAIN_RATE_WRITES: '0',
  BRAIN_RATE_HEAVY: '0',
  BRAIN_RATE_HEAVY_AT_ONCE: '0',
};

/** The service as `npm start` runs it, with its request log off and without limits for its clients. */
export function startService(settings = {}) {
  const fixed = {
    BRAIN_BOOTSTRAP_KEY: KEY,
    BRAIN_LOG_REQUESTS: 'off',
    BRAIN_LOG_FORMAT: 'json',
    ...NO_LIMITS,
  };
  const flags = ['--enable-source-maps', ...SERVICE_FLAGS];
  return startServer(join(ROOT, 'dist/main.js'), { ...fixed, ...settings }, flags);
}

function redisProgram() {
  for (const name of ['redis-server', 'valkey-server']) {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' });
      return name;
    } catch {
      // The next name may be the one that is installed.
    }
  }
  throw new Error(
    'Neither redis-server nor valkey-server is on the PATH. Install one: apt-get install redis-server',
  );
}

export function freePort() {
  return new Promise((found) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
}

/** Starts a Redis that stores nothing on disk. With `durable` it writes its log to the disk every second. */
export async function startRedis({ durable = false } = {}) {
  const port = await freePort();
  const folder = temporaryFolder();
  const keeping = durable ? ['--appendonly', 'yes', '--appendfsync', 'everysec'] : ['--appendonly', 'no'];
  const args = ['--port', port, '--bind', '127.0.0.1', '--dir', folder, '--save', '', ...keeping];
  const child = kept(spawn(redisProgram(), args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] }));
  await new Promise((ready, failed) => {
    createInterface({ input: child.stdout }).on('line', (line) => /eady to accept/.test(line) && ready());
    child.once('exit', (code) => failed(new Error(`Redis ended with ${code}`)));
  });
  return { child, url: `redis://127.0.0.1:${port}` };
}

/** The settings of an embedded store in its own folder or of its own Redis, and the function that ends it. */
export async function newStore(kind, options = {}) {
  const folder = temporaryFolder();
  const redis = kind === 'Redis' ? await startRedis(options) : undefined;
  // The threats of a fill are years old, and half of them are closed. Retention would remove these during the measurement.
  const fixed = { BRAIN_DATA_DIR: folder, BRAIN_THREATS_RETENTION_DAYS: '36500' };
  const settings = { ...fixed, ...(redis && { REDIS_URL: redis.url }) };
  const end = async () => {
    if (redis) await stop(redis);
    remove(folder);
  };
  return { settings: { ...settings, BRAIN_BOOTSTRAP_KEY: KEY }, redis, end };
}

/** Runs a script of this folder to its end. Resolves with the object that it sends. */
export function ask(script, args = [], settings = {}, flags = []) {
  const child = kept(
    fork(join(HERE, script), args.map(String), { env: environment(settings), execArgv: flags }),
  );
  return new Promise((answered, failed) => {
    let answer;
    child.on('message', (message) => {
      answer = message;
    });
    child.once('exit', (code) =>
      answer && code === 0 ? answered(answer) : failed(new Error(`${script} ended with ${code}`)),
    );
  });
}

/** Starts a script of this folder that answers one message after the other. */
export function startWorker(script, settings = {}) {
  const child = kept(fork(join(HERE, script), { env: environment(settings) }));
  const answer = (begin) =>
    new Promise((done, failed) => {
      const ended = (code) => failed(new Error(`${script} ended with ${code}`));
      child.once('exit', ended);
      child.once('message', (message) => {
        child.off('exit', ended);
        if (message.error) failed(new Error(message.error));
        else done(message);
      });
      begin();
    });
  return { child, ready: () => answer(() => undefined), send: (job) => answer(() => child.send(job)) };
}

export function startClient() {
  const { child, send } = startWorker('load.mjs');
  return { child, load: send };
}

/**
 * One core for the servers, and another one for the client and the stores. The client has priority there: a script that keeps
 * Redis busy for milliseconds would otherwise delay the requests, and the server would wait. False if the system cannot do
 * that; then all processes use all cores.
 */
export function onCoresOfTheirOwn({ servers, client, stores }) {
  const pids = (processes) => processes.map(({ child }) => String(child.pid));
  try {
    for (const pid of pids(servers)) execFileSync('taskset', ['-acp', '0', pid], { stdio: 'ignore' });
    for (const pid of pids([client, ...stores]))
      execFileSync('taskset', ['-acp', '1', pid], { stdio: 'ignore' });
    for (const pid of pids(stores)) execFileSync('chrt', ['-aip', '0', pid], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** CPU time that a process has used, in seconds. NaN if the system does not report it. */
export function cpuSeconds({ child }) {
  try {
    const stat = readFileSync(`/proc/${child.pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return Number.NaN;
  }
}
