/**
 * Makes sure that one process at a time has a data folder open.
 *
 * Each opener listens on a unix socket of its own in the folder, and only then looks for those of others. Of two openers
 * at least the later one sees the other, so there are never two owners. Who sees an owner gives up; among those that
 * start at the same time the smallest name stays. A socket dies with its process, `kill -9` included, and is reachable
 * from every container that shares the folder on one machine, where process ids and `flock` by number would lie. Names
 * are never used twice, so clearing away the socket of a dead process cannot hit a living one.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrainError } from '../../shared/errors.js';

const NAME = /^brain-[0-9a-f]{16}\.lock$/;
/** Ends the name of a socket that does not listen yet. */
const UNBORN = '-new';
/** Longer paths do not fit into the address of a unix socket, less the room for a name. */
const MAX_FOLDER_BYTES = 70;
/** A living process that does not answer within this (stopped, or its disk hangs) counts as the owner. */
const ANSWER_MS = 2000;
/** How long a starter waits for another that will give up in its favour. */
const RIVALS_MS = 15_000;
const POLL_MS = 20;

type Seen = 'owner' | 'candidate' | 'gone';

export interface FolderLock {
  release(): Promise<void>;
}

export function lockFolder(folder: string): Promise<FolderLock> {
  return process.platform === 'win32' ? lockByPipe(folder) : lockBySocket(folder);
}

async function lockBySocket(folder: string): Promise<FolderLock> {
  const own = `brain-${randomBytes(8).toString('hex')}.lock`;
  const reach = reachable(folder);
  let state: Seen = 'candidate';
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(state);
  });
  const release = async (): Promise<void> => {
    rmSync(join(folder, own), { force: true });
    await closed(server);
    reach.close();
  };
  try {
    // Others look only at names that listen already, so that a refusal always means that the process is dead.
    await listen(server, join(reach.path, `${own}${UNBORN}`));
    publish(folder, own);
    await outlast(folder, reach.path, own);
    state = 'owner';
  } catch (error) {
    await release();
    throw error;
  }
  for (const name of readdirSync(folder))
    if (NAME.test(name.replace(UNBORN, '')) && name.endsWith(UNBORN))
      rmSync(join(folder, name), { force: true });
  return { release };
}

function publish(folder: string, own: string): void {
  try {
    renameSync(join(folder, `${own}${UNBORN}`), join(folder, own));
  } catch (error) {
    // An owner clears away what was left behind on the way, and took ours for that.
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? inUse(folder) : error;
  }
}

/** Windows has pipes instead: a name of its own for each folder, which one process at a time can have. */
async function lockByPipe(folder: string): Promise<FolderLock> {
  const name = createHash('sha256').update(realpathSync(folder).toLowerCase()).digest('hex').slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  try {
    await listen(server, `\\\\.\\pipe\\brain-${name}`);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? inUse(folder) : error;
  }
  return { release: () => closed(server) };
}

/** Returns when no living process has a claim that goes before ours. */
async function outlast(folder: string, reach: string, own: string): Promise<void> {
  const deadline = performance.now() + RIVALS_MS;
  for (;;) {
    const names = readdirSync(folder).filter((name) => NAME.test(name) && name !== own);
    const seen = await Promise.all(names.map(async (name) => ({ name, is: await look(join(reach, name)) })));
    for (const { name } of seen.filter(({ is }) => is === 'gone'))
      rmSync(join(folder, name), { force: true });
    const alive = seen.filter(({ is }) => is !== 'gone');
    if (alive.length === 0) return;
    const ours = alive.every(({ name, is }) => is === 'candidate' && own < name);
    if (!ours || performance.now() > deadline) throw inUse(folder);
    await sleep(POLL_MS);
  }
}

/** Only a refusal and a missing name tell that a process is gone; any other failure is a reason to stay away. */
function look(path: string): Promise<Seen> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    let answer = '';
    const settle = (seen: Seen): void => {
      resolve(seen);
      socket.destroy();
    };
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_MS, () => settle('owner'));
    socket.on('data', (text: string) => {
      answer += text;
    });
    // Who closes without a word is about to end; the next look will tell.
    socket.on('end', () => settle(answer === 'owner' ? 'owner' : 'candidate'));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') settle('gone');
      else settle(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'candidate' : 'owner');
    });
  });
}

/** A path to the folder that is short enough for the address of a socket: Linux can name an open folder by number. */
function reachable(folder: string): { path: string; close(): void } {
  const path = realpathSync(folder);
  if (process.platform !== 'linux' || Buffer.byteLength(path) <= MAX_FOLDER_BYTES)
    return { path, close: () => undefined };
  const fd = openSync(path, 'r');
  return { path: `/proc/self/fd/${fd}`, close: () => closeSync(fd) };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      server.on('error', () => undefined);
      // The lock is no reason to keep the process running.
      server.unref();
      resolve();
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) resolve();
    else server.close(() => resolve());
  });
}

function inUse(folder: string): BrainError {
  const detail =
    `The data folder ${folder} is in use by another process. Stop that one first, or give this one a folder of ` +
    'its own in BRAIN_DATA_DIR. To run several replicas, use Redis (REDIS_URL).';
  return new BrainError('unavailable', 'data_folder_in_use', detail);
}
