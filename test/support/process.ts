/** The built service as a process of its own, which can be sent signals. It is ended by its process id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { join, resolve } from 'node:path';
import { sleep } from '../../src/shared/clock.js';
import { type TemporaryFolder, temporaryFolder } from './folder.js';
import { ADMIN, NO_LIMITS } from './service.js';

const ROOT = resolve(__dirname, '../..');
const MAIN = join(ROOT, 'dist/main.js');
/** Generous: two test files share two cores with whatever else the machine does. */
const READY_MS = 20_000;
const POLL_MS = 20;
/** No answer of the service takes longer, whatever the store does. */
const ANSWER_MS = 10_000;
const IDLE_MS = 2000;

export interface ProcessAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Record<string, unknown>;
  /** From the request to the whole answer. */
  ms: number;
}

export interface Ending {
  code: number | null;
  signal: string | null;
}

/** Throws if `dist` is older than `src`, because then the test would show nothing. */
function requireBuild(): void {
  const builtMs = statSync(MAIN, { throwIfNoEntry: false })?.mtimeMs;
  if (builtMs === undefined)
    throw new Error('dist/main.js is missing: type `npm run build`, then test again.');
  const newer = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ts|lua)$/.test(path) && !/\.spec\.ts$|^storage\/contract\//.test(path))
    .filter((path) => statSync(join(ROOT, 'src', path)).mtimeMs > builtMs);
  if (newer.length === 0) return;
  throw new Error(`dist is older than src/${newer.join(', src/')}: type \`npm run build\`, then test again.`);
}

export class ServiceProcess {
  readonly pid: number;
  readonly ended: Promise<Ending>;
  /** Where it listens, from its own output. */
  url = '';
  private ending?: Ending;
  private text = '';
  /** Closes idle connections before the service does, so that no request uses a connection that is being closed. */
  private readonly agent = new Agent({ keepAlive: true, timeout: IDLE_MS });

  private constructor(private readonly child: ChildProcess) {
    this.pid = child.pid as number;
    child.stdout?.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('utf8');
    });
    child.stderr?.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('utf8');
    });
    this.ended = new Promise((done) => {
      child.once('close', (code, signal) => {
        this.ending = { code, signal };
        this.agent.destroy();
        done(this.ending);
      });
    });
  }

  /** Resolves when `/readyz` says yes. */
  static async start(env: Record<string, string>): Promise<ServiceProcess> {
    requireBuild();
    const { PATH, HOME, TMPDIR } = process.env;
    const child = spawn(process.execPath, [MAIN], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      // Nothing of this shell's own settings: an unknown BRAIN_ name would be a fault.
      env: {
        ...{ PATH, HOME, TMPDIR, PORT: '0', BRAIN_BOOTSTRAP_KEY: ADMIN, BRAIN_LOG_FORMAT: 'json' },
        ...NO_LIMITS,
        ...env,
      },
    });
    const service = new ServiceProcess(child);
    try {
      await service.becomeReady();
    } catch (error) {
      await service.stop('SIGKILL');
      throw error;
    }
    return service;
  }

  /** What it wrote so far, to either output. */
  get output(): string {
    return this.text;
  }

  /** The lines of its log. */
  get logs(): Record<string, unknown>[] {
    const lines = this.text.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  get running(): boolean {
    return this.ending === undefined;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  kill(signal: NodeJS.Signals): void {
    if (this.running) this.child.kill(signal);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ending> {
    this.kill(signal);
    return this.ended;
  }

  get(path: string, headers: Record<string, string> = {}): Promise<ProcessAnswer> {
    return this.ask('GET', path, undefined, headers);
  }

  post(path: string, body: object, headers: Record<string, string> = {}): Promise<ProcessAnswer> {
    return this.ask('POST', path, body, headers);
  }

  put(path: string, body: object, headers: Record<string, string> = {}): Promise<ProcessAnswer> {
    return this.ask('PUT', path, body, headers);
  }

  delete(path: string, headers: Record<string, string> = {}): Promise<ProcessAnswer> {
    return this.ask('DELETE', path, undefined, headers);
  }

  private ask(
    method: string,
    path: string,
    body: object | undefined,
    more: Record<string, string>,
  ): Promise<ProcessAnswer> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = {
      Authorization: `Bearer ${ADMIN}`,
      ...(bytes && { 'Content-Type': 'application/json', 'Content-Length': String(bytes.length) }),
      ...more,
    };
    const startMs = performance.now();
    return new Promise((done, fail) => {
      const request = httpRequest(this.url + path, { method, headers, agent: this.agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', fail);
        response.once('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          done({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
            ms: performance.now() - startMs,
          });
        });
      });
      request.setTimeout(ANSWER_MS, () =>
        request.destroy(new Error(`${method} ${path} hangs: no answer within ${ANSWER_MS} ms`)),
      );
      request.once('error', fail);
      request.end(bytes);
    });
  }

  private async becomeReady(): Promise<void> {
    const endMs = Date.now() + READY_MS;
    while (Date.now() < endMs) {
      if (!this.running) throw new Error(`The service ended before it was ready:\n${this.text}`);
      this.url ||= /(?:"api":"|^ {2}API +)(http:[^\s"]+)\/api"?/m.exec(this.text)?.[1] ?? '';
      if (this.url !== '' && (await this.get('/readyz').catch(() => undefined))?.status === 200) return;
      await sleep(POLL_MS);
    }
    throw new Error(`The service was not ready within ${READY_MS} ms:\n${this.text}`);
  }
}

/** The settings of a process whose wall clock is wrong by so much. */
export function shiftedBy(ms: number): Record<string, string> {
  return { NODE_OPTIONS: `--require ${join(__dirname, 'shifted-clock.cjs')}`, SHIFTED_CLOCK: String(ms) };
}

type Start = (env?: Record<string, string>) => Promise<ServiceProcess>;

/** Starts processes of the service. Each test has its own data folder, and its processes end with it, stopped ones too. */
export function processesWith(settings: Record<string, string>): Start {
  const started: ServiceProcess[] = [];
  let folder: TemporaryFolder;
  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(async () => {
    for (const service of started) service.kill('SIGCONT');
    await Promise.all(started.splice(0).map((service) => service.stop('SIGKILL')));
    folder.remove();
  });
  return async (env = {}) => {
    const service = await ServiceProcess.start({ BRAIN_DATA_DIR: folder.path, ...settings, ...env });
    started.push(service);
    return service;
  };
}
