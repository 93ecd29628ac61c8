/** How the service starts and ends under `npm start`, and what it says if it cannot start. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { temporaryFolder } from './support/folder.js';
import { processesWith } from './support/process.js';
import { ADMIN } from './support/service.js';
import { until } from './support/until.js';

const PATIENCE_MS = 20_000;
const start = processesWith({});
const gaps = async (): Promise<unknown> =>
  (await (await start()).get('/api/events?type=stream.gap')).body.events;

describe('a port that is taken', () => {
  it('is named, with the setting for another one; the failed start leaves no unclean stop', async () => {
    const other = temporaryFolder();
    const first = await start({ BRAIN_DATA_DIR: other.path });
    await expect(start({ PORT: String(first.port) })).rejects.toThrow(
      `Port ${first.port} of 127.0.0.1 is in use. End the program that uses it, or set PORT to another port.`,
    );
    expect(await gaps()).toEqual([]);
    await first.stop();
    other.remove();
  });
});

describe('npm start', () => {
  const folder = temporaryFolder();
  let npm: ChildProcess;
  let text = '';
  beforeEach(async () => {
    text = '';
    const { PATH, HOME } = process.env;
    const env = { PATH, HOME, PORT: '0', BRAIN_BOOTSTRAP_KEY: ADMIN, BRAIN_DATA_DIR: folder.path };
    // In a group of its own, as the shell of a terminal starts it.
    npm = spawn('npm', ['start'], { cwd: resolve(__dirname, '..'), env, detached: true });
    npm.stdout?.on('data', (bytes: Buffer) => (text += bytes.toString()));
    npm.stderr?.on('data', (bytes: Buffer) => (text += bytes.toString()));
    await until(() => text.includes('"msg":"listening"'), PATIENCE_MS, 'the start');
  });
  afterEach(() => {
    try {
      process.kill(-(npm.pid as number), 'SIGKILL');
    } catch {
      // All of them have ended, as they should.
    }
  });
  afterAll(() => folder.remove());

  it.each([
    ['SIGTERM to npm alone, as a supervisor sends it', 'SIGTERM', 1],
    ['SIGINT to all its processes, as Ctrl+C sends it', 'SIGINT', -1],
  ] as const)('ends the service in order at %s', async (_what, signal, whom) => {
    const closed = once(npm, 'close');
    process.kill(whom * (npm.pid as number), signal);
    // Its output is closed when the last of its processes has ended.
    expect(await closed).toEqual([0, null]);
    expect(text.match(/"msg":"shutting down"/g)).toHaveLength(1);
    // The folder is free, and the stop was clean.
    const next = await start({ BRAIN_DATA_DIR: folder.path });
    expect((await next.get('/api/events?type=stream.gap')).body.events).toEqual([]);
    await next.stop();
  });
});
