/** Real Redis servers for tests, on free ports and in temporary folders. */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until.js';

/** An acknowledged write is on disk. */
export const ALWAYS = ['--appendonly', 'yes', '--appendfsync', 'always'];
/** A master copies its data to a new replica at once. */
export const NO_SYNC_DELAY = ['--repl-diskless-sync-delay', '0'];
const HOST = '127.0.0.1';
const START_MS = 10_000;
const FAILOVER_MS = 20_000;
const MAX_PORT_ATTEMPTS = 100;

/** All running servers, so that a failed test leaves none behind. */
const running = new Set<ChildProcess>();
const endAll = (): void => {
  for (const child of running) child.kill('SIGKILL');
};
process.on('exit', endAll);
// Outside Jest, as in a benchmark, they end with the process.
if (typeof afterAll === 'function') afterAll(endAll);

let program: string | undefined;
function serverProgram(): string {
  if (program !== undefined) return program;
  for (const name of ['redis-server', 'valkey-server']) {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' });
      program = name;
      return name;
    } catch {
      // Try the next name.
    }
  }
  throw new Error(
    'Neither redis-server nor valkey-server is on the PATH. Install one: apt-get install redis-server',
  );
}

function cliProgram(): string {
  return serverProgram().replace('-server', '-cli');
}

/** Below the ports that Linux gives to outgoing connections (from 32,768): one of these could take the port of a stopped server. */
const PORTS = { first: 20_000, count: 2700 };

/** A free port. Its port for the cluster bus, 10,000 above, is free as well. */
async function freePort(): Promise<number> {
  for (let attempt = 1; attempt <= MAX_PORT_ATTEMPTS; attempt += 1) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port;
  }
  throw new Error(`None of ${MAX_PORT_ATTEMPTS} random ports on ${HOST} is free.`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, HOST, () => server.close(() => resolve(true)));
  });
}

export class RedisServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'brain-redis-'));
  private child: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    private readonly options: string[],
    private readonly sentinel: boolean,
  ) {}

  /** `options` are arguments of redis-server: `['--requirepass', 'x']`. */
  static async start(options: string[] = []): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), options, false);
    await server.run();
    return server;
  }

  /** A replica of this server, or of what a wire leads to. Resolves when it has all data. */
  static async startReplica(master: { port: number }, options: string[] = []): Promise<RedisServer> {
    const replica = await RedisServer.start([...options, '--replicaof', `${HOST} ${master.port}`]);
    const joined = (): boolean => replica.cli('info', 'replication').includes('master_link_status:up');
    await until(joined, START_MS, 'the first copy of the replica');
    return replica;
  }

  static async startSentinel(master: number, downAfterMs: number): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), [], true);
    const lines = [
      `sentinel monitor mymaster ${HOST} ${master} 2`,
      `sentinel down-after-milliseconds mymaster ${downAfterMs}`,
      'sentinel failover-timeout mymaster 4000',
    ];
    writeFileSync(join(server.folder, 'sentinel.conf'), `${lines.join('\n')}\n`);
    await server.run();
    return server;
  }

  get url(): string {
    return `redis://${HOST}:${this.port}`;
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  /** Starts the server on its port and data. */
  async run(): Promise<void> {
    const common = ['--port', String(this.port), '--bind', HOST, '--dir', this.folder, '--daemonize', 'no'];
    const args = this.sentinel
      ? [join(this.folder, 'sentinel.conf'), '--sentinel', ...common]
      : [...common, '--save', '', ...this.options];
    this.mendLog();
    const child = spawn(serverProgram(), args, { stdio: 'ignore' });
    this.child = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    await until(() => this.answers(), START_MS, `the start of Redis on port ${this.port}`);
  }

  /** Runs a command with redis-cli and returns its output. */
  cli(...args: string[]): string {
    return execFileSync(cliProgram(), this.cliArgs(args), { encoding: 'utf8' }).trim();
  }

  /** The same without blocking this process, for a slow command. */
  async cliLater(...args: string[]): Promise<void> {
    await new Promise((resolve) => execFile(cliProgram(), this.cliArgs(args), resolve));
  }

  /** `SIGKILL`: what `kill -9` sends. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Removes bytes from the end of its append-only file, as a crash during a write does. */
  tearLog(bytes: number): void {
    const folder = join(this.folder, 'appendonlydir');
    const [last] = readdirSync(folder)
      .filter((name) => name.endsWith('.incr.aof'))
      .sort()
      .slice(-1);
    truncateSync(join(folder, last), statSync(join(folder, last)).size - bytes);
  }

  /** The process stays, but answers nothing. */
  freeze(): void {
    this.child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  /**
   * Repairs the append-only file, as docs/operations.md asks operators to do. A server that is killed during a write may leave half
   * a transaction at the end of the file. Its next start only removes the last command. Without a repair the writes after the
   * rest are lost or mixed up at the following start.
   */
  private mendLog(): void {
    const manifest = join(this.folder, 'appendonlydir', 'appendonly.aof.manifest');
    if (!existsSync(manifest)) return;
    const program = serverProgram().replace('-server', '-check-aof');
    // It reads the answer only if there is something to repair, and may end before that. So a broken pipe is no failure.
    const { status } = spawnSync(program, ['--fix', manifest], { input: 'y\n' });
    if (status !== 0) throw new Error(`${program} ended with ${status}`);
  }

  private cliArgs(args: string[]): string[] {
    const password = this.password === undefined ? [] : ['--no-auth-warning', '-a', this.password];
    return ['-p', String(this.port), ...password, ...args];
  }

  private get password(): string | undefined {
    const at = this.options.indexOf('--requirepass');
    return at < 0 ? undefined : this.options[at + 1];
  }

  private async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  private answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, HOST, () => socket.write('PING\r\n'));
      socket.once('error', () => resolve(false));
      socket.once('data', (data) => {
        socket.destroy();
        resolve(/PONG|NOAUTH/.test(data.toString()));
      });
    });
  }
}

export interface Group {
  servers: RedisServer[];
  stop(): Promise<void>;
}

/** Three masters that share all slots. The owner of the slot of `{brain}` has a replica. */
export async function startCluster(): Promise<Group> {
  const options = [
    ...['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '1000'],
    ...['--cluster-announce-ip', HOST, '--repl-diskless-sync-delay', '0'],
  ];
  const servers = await Promise.all([1, 2, 3, 4].map(() => RedisServer.start(options)));
  const [first, , , spare] = servers as [RedisServer, RedisServer, RedisServer, RedisServer];
  const addresses = servers.slice(0, 3).map((server) => `${HOST}:${server.port}`);
  const create = ['--cluster', 'create', ...addresses, '--cluster-replicas', '0', '--cluster-yes'];
  execFileSync(cliProgram(), create, { stdio: 'ignore' });
  const ready = (one: RedisServer): boolean => one.cli('cluster', 'info').includes('cluster_state:ok');
  await until(() => servers.slice(0, 3).every(ready), START_MS, 'the cluster');
  spare.cli('cluster', 'meet', HOST, String(first.port));
  await until(() => ready(spare), START_MS, 'the spare node');
  const slot = Number(first.cli('cluster', 'keyslot', '{brain}'));
  const owner = servers.find((one) => {
    const mine = /myself.* (\d+)-(\d+)$/m.exec(one.cli('cluster', 'nodes'));
    return mine && Number(mine[1]) <= slot && slot <= Number(mine[2]);
  });
  spare.cli('cluster', 'replicate', owner?.cli('cluster', 'myid') ?? '');
  const joined = (): boolean => spare.cli('info', 'replication').includes('master_link_status:up');
  await until(joined, START_MS, 'the replica');
  return { servers, stop: () => stopAll(servers) };
}

export interface SentinelGroup extends Group {
  servers: [master: RedisServer, replica: RedisServer];
  sentinels: RedisServer[];
  /** The settings for a service that uses them. */
  env: Record<string, string>;
}

/** A master, its replica, and three Sentinels. They know the master as `mymaster`. */
export async function startSentinels(): Promise<SentinelGroup> {
  const master = await RedisServer.start(NO_SYNC_DELAY);
  const replica = await RedisServer.startReplica(master);
  const sentinels = await Promise.all([1, 2, 3].map(() => RedisServer.startSentinel(master.port, 800)));
  const sees = (one: RedisServer): boolean => {
    const [info] = [one.cli('sentinel', 'master', 'mymaster').split('\n')];
    const value = (name: string): string | undefined => info[info.indexOf(name) + 1];
    return value('num-slaves') === '1' && value('num-other-sentinels') === '2';
  };
  await until(() => sentinels.every(sees), START_MS, 'the Sentinels');
  const env = {
    BRAIN_REDIS_SENTINELS: sentinels.map(({ port }) => `${HOST}:${port}`).join(','),
    BRAIN_REDIS_MASTER: 'mymaster',
  };
  const stop = (): Promise<void> => stopAll([master, replica, ...sentinels]);
  return { servers: [master, replica], sentinels, env, stop };
}

/** Kills the master and waits until the Sentinels have promoted its replica. */
export async function failOver({ servers: [master, replica] }: SentinelGroup): Promise<void> {
  await master.kill();
  const promoted = (): boolean => {
    try {
      return replica.cli('role').startsWith('master');
    } catch {
      // It may close the connection during the change.
      return false;
    }
  };
  await until(promoted, FAILOVER_MS, 'the failover');
}

async function stopAll(servers: RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()));
}
