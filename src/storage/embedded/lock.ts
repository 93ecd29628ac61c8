/**
 * Makes sure that one process at a time uses a data folder.
 *
 * Each process listens on its own unix socket in the folder, and then looks for the sockets of others. Of two processes
 * at least the later one sees the other, so there are never two owners. A process that sees an owner gives up. Of
 * processes that start at the same time the one with the smallest name becomes the owner. A socket ends with its process,
 * also after `kill -9`. All containers on a machine that share the folder can reach it; process ids and `flock` by number
 * would be wrong there. Names are never used twice, so the removal of a dead socket cannot remove a living one.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BrainError } from '../../shared/errors.js';

const NAME = /^brain-[0-9a-f]{16}\.lock$/;
/** The suffix of a socket that does not listen yet. */
const UNPUBLISHED = '-new';
/** The address of a unix socket has no room for a longer path and a name. */
const MAX_FOLDER_BYTES = 70;
/** A living process that does not answer within this (stopped, or its disk hangs) counts as the owner. */
const ANSWER_MS = 2000;
/** How long a starting process waits for others that will give up. */
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
    // A socket gets its name when it listens, so a refused connection always means that the process is dead.
    await listen(server, join(reach.path, `${own}${UNPUBLISHED}`));
    publish(folder, own);
    await outlast(folder, reach.path, own);
    state = 'owner';
  } catch (error) {
    await release();
    throw error;
  }
  for (const name of readdirSync(folder))
    if (NAME.test(name.replace(UNPUBLISHED, '')) && name.endsWith(UNPUBLISHED))
      rmSync(join(folder, name), { force: true });
  return { release };
}

function publish(folder: string, own: string): void {
  try {
    renameSync(join(folder, `${own}${UNPUBLISHED}`), join(folder, own));
  } catch (error) {
    // An owner removes unpublished sockets, which may come from dead processes. It has removed ours.
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? inUse(folder) : error;
  }
}

/** Windows has pipes instead. The name of the pipe follows from the folder, and one process at a time can have it. */
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

/** Resolves when no other living process can become the owner. */
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

/** A process is gone only if its socket refuses connections or has no name. After any other failure it counts as the owner. */
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
    // A process that closes the connection without an answer is about to end. The next look will show it.
    socket.on('end', () => settle(answer === 'owner' ? 'owner' : 'candidate'));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') settle('gone');
      else settle(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'candidate' : 'owner');
    });
  });
}

/** A path to the folder that fits into the address of a socket. On Linux an open folder has a short path. */
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
      // The lock must not keep the process running.
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
    `Another process uses the data folder ${folder}. Stop that process, or set another folder in BRAIN_DATA_DIR. To ` +
    'run several replicas, use Redis (REDIS_URL).';
  return new BrainError('unavailable', 'data_folder_in_use', detail);
}
