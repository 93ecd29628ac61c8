/**
 * Real processes on a real data folder, which tests can kill. The embedded database is compiled into a temporary folder,
 * and a script opens it and runs the commands of the test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { transformFileSync } from '@swc/core';

const REPOSITORY = resolve(process.cwd());

const SCRIPT = `
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { EmbeddedDatabase } from './storage/embedded/database.js';
const [folder, maxBytes] = process.argv.slice(2);
const say = (message) => process.stdout.write(JSON.stringify(message) + '\\n');
const errorOf = (error) => ({ code: error.code, detail: error.detail ?? String(error) });
let db;
try {
  db = await EmbeddedDatabase.open(folder, { maxBytes: Number(maxBytes) });
  say({ open: true });
} catch (error) {
  say(errorOf(error));
  process.exit(1);
}
// The engine opens the data file twice: once for pages, and once to write meta pages through to the disk.
const filesOfEngine = () => {
  const found = {};
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (!readlinkSync('/proc/self/fd/' + fd).endsWith('/brain.mdb')) continue;
      const flags = parseInt(/flags:\\s+(\\d+)/.exec(readFileSync('/proc/self/fdinfo/' + fd, 'utf8'))[1], 8);
      found[(flags & 3) === 1 ? 'meta' : 'pages'] = Number(fd);
    } catch {}
  }
  return found;
};
const replace = (fd, path, flags) => {
  closeSync(fd);
  if (openSync(path, flags) !== fd) throw new Error('another file took the number');
  return fd;
};
let swapped;
const put = (key, value) => db.commit(() => db.docs.putSync(['t', key], value));
const commands = {
  put: async ({ key, value }) => (await put(key, value), { done: key }),
  write: ({ writers }) => {
    let next = 0;
    const writer = async () => { for (;;) { const key = next++; await put(key, 'v' + key); say({ acknowledged: key }); } };
    for (let i = 0; i < writers; i += 1) void writer();
    return { writing: true };
  },
  break: ({ file }) => ({ broken: (swapped = replace(filesOfEngine()[file], '/dev/full', 'w')) }),
  mend: () => ({ mended: replace(swapped, folder + '/brain.mdb', 'r+') }),
  trouble: () => ({ trouble: db.trouble()?.code ?? null }),
  keys: () => ({ keys: [...db.docs.getKeys()].map((key) => key[1]) }),
  close: async () => (await db.close(), { closed: true }),
  exit: () => process.exit(0),
};
createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line);
  void (async () => { try { say(await commands[order.do](order)); } catch (error) { say(errorOf(error)); } })();
}).on('close', () => process.exit(0));
`;

export type Message = Record<string, unknown>;

export class Child {
  private readonly messages: Message[] = [];
  private readonly wanting: ((message: Message | undefined) => void)[] = [];
  readonly ended: Promise<{ code: number | null; signal: string | null }>;

  constructor(private readonly process: ChildProcess) {
    this.ended = new Promise((resolve) => {
      process.on('close', (code, signal) => {
        for (const want of this.wanting.splice(0)) want(undefined);
        resolve({ code, signal });
      });
    });
    createInterface({ input: process.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const message = JSON.parse(line) as Message;
      const want = this.wanting.shift();
      if (want) want(message);
      else this.messages.push(message);
    });
  }

  /** The next message of the process; undefined when it has ended. */
  next(): Promise<Message | undefined> {
    const message = this.messages.shift();
    if (message) return Promise.resolve(message);
    if (this.process.exitCode !== null || this.process.signalCode !== null) return Promise.resolve(undefined);
    return new Promise((resolve) => this.wanting.push(resolve));
  }

  ask(order: Message): Promise<Message | undefined> {
    this.process.stdin?.write(`${JSON.stringify(order)}\n`);
    return this.next();
  }

  signal(name: NodeJS.Signals): void {
    this.process.kill(name);
  }

  async kill(): Promise<Message[]> {
    this.process.kill('SIGKILL');
    await this.ended;
    return this.messages;
  }
}

export class Children {
  private readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'brain-child-')));
  private readonly all: Child[] = [];

  constructor() {
    const embedded = readdirSync(join(REPOSITORY, 'src/storage/embedded')).filter(
      (name) => !name.endsWith('.spec.ts'),
    );
    for (const name of embedded) this.compile(`storage/embedded/${name}`);
    for (const source of ['storage/write-check.ts', 'shared/errors.ts']) this.compile(source);
    writeFileSync(join(this.folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(this.folder, 'child.js'), SCRIPT);
    symlinkSync(join(REPOSITORY, 'node_modules'), join(this.folder, 'node_modules'));
  }

  start(dataFolder: string, maxBytes = 2 ** 30): Child {
    const args = [join(this.folder, 'child.js'), dataFolder, String(maxBytes)];
    const child = new Child(spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'] }));
    this.all.push(child);
    return child;
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((child) => child.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  private compile(source: string): void {
    const target = join(this.folder, source.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    const { code } = transformFileSync(join(REPOSITORY, 'src', source), {
      swcrc: false,
      configFile: false,
      module: { type: 'es6' },
      jsc: {
        target: 'es2022',
        parser: { syntax: 'typescript', decorators: true },
        transform: { useDefineForClassFields: false },
      },
    });
    writeFileSync(target, code);
  }
}
