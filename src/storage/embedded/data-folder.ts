/** Checks the data folder before the engine opens it. Each error says what to do. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { BrainError, messageOf } from '../../shared/errors.js';
import { checkDataFile, DamagedFile } from './data-file.js';

const DATA_FILE = 'brain.mdb';
const ENGINE_LOCK = `${DATA_FILE}-lock`;
/** It shows that the folder had a store. Without it a lost data file would look like a first start. */
const MARKER = 'BRAIN-STORE.txt';
const MARKER_TEXT = `This folder holds the store of a BRAiN control plane, in ${DATA_FILE}.
If ${DATA_FILE} is missing while this file is here, the service refuses to start, rather than start empty.
To restore, put the whole folder back from a backup. To start empty, move the whole folder away.
`;
/** More than the size of the engine's lock file. */
const ENGINE_LOCK_BYTES = 65_536;

/** File systems that other machines can write. The lock and the shared memory of the engine work only on one machine. */
const NETWORK_TYPES: Record<number, string> = {
  26985: 'NFS',
  20859: 'SMB',
  4283649346: 'CIFS',
  4266872130: 'SMB',
  16914839: '9P',
  1397113167: 'AFS',
  1799439955: 'AFS',
  12805120: 'Ceph',
  1937076805: 'Coda',
  22092: 'NCP',
  198183888: 'Lustre',
  1196443219: 'GPFS',
  428016422: 'BeeGFS',
  2866260714: 'PanFS',
  1952539503: 'OCFS2',
  18225520: 'GFS2',
  2020557398: 'a shared folder of VirtualBox',
  3133910204: 'a shared folder of VMware',
};
const FUSE = 0x65735546;
/** FUSE also serves local disks, so only these names count as network file systems. */
const NETWORK_FUSE =
  /ssh|s3|gcs|rclone|gluster|goofys|dav|ceph|juicefs|blob|smb|ftp|mfs|moosefs|seaweed|hdfs|lustre|nfs|drive/i;

/** The name of the network file system; undefined for a local one. `mounts` is the text of /proc/self/mountinfo, `device` is as in it. */
export function networkFileSystem(type: number, mounts: string, device: string): string | undefined {
  const known = NETWORK_TYPES[type >>> 0];
  if (known !== undefined || type !== FUSE) return known;
  const mount = mounts.split('\n').findLast((line) => line.split(' ')[2] === device);
  const name = mount?.split(' - ')[1]?.split(' ')[0] ?? '';
  return NETWORK_FUSE.test(name) ? name : undefined;
}

export class DataFolder {
  readonly path: string;
  readonly file: string;

  constructor(path: string) {
    this.path = resolve(path);
    this.file = join(this.path, DATA_FILE);
  }

  /** Creates the folder if it is missing. Does not disturb another process that uses it. */
  prepare(): void {
    try {
      const made = mkdirSync(this.path, { recursive: true, mode: 0o700 });
      if (made !== undefined) syncFolder(dirname(made));
      const probe = join(this.path, `.brain-probe-${process.pid}-${Math.random().toString(36).slice(2)}`);
      writeFileSync(probe, '');
      rmSync(probe);
    } catch (error) {
      throw this.refusal(error);
    }
    if (process.platform !== 'linux') return;
    const { dev } = statSync(this.path);
    const name = networkFileSystem(
      statfsSync(this.path).type,
      readText('/proc/self/mountinfo'),
      deviceOf(dev),
    );
    if (name === undefined) return;
    const detail =
      `The data folder ${this.path} is on a network file system (${name}), where the lock and the flush to disk are ` +
      'not reliable. Set BRAIN_DATA_DIR to a folder on a local disk, or use Redis (REDIS_URL).';
    throw new BrainError('unavailable', 'data_folder_on_network', detail);
  }

  /** Call it only with the lock. False if there never was a store. Throws if there is one that cannot be opened. */
  inspect(): boolean {
    rmSync(this.unfinished, { force: true });
    rmSync(`${this.unfinished}-lock`, { force: true });
    if (!existsSync(this.file)) {
      if (!existsSync(join(this.path, MARKER)) && !existsSync(join(this.path, ENGINE_LOCK))) return false;
      const detail =
        `The data folder ${this.path} had a store before, but ${DATA_FILE} is missing. Restore the folder from a ` +
        'backup, or move it away to start with an empty store.';
      throw new BrainError('unavailable', 'data_file_missing', detail);
    }
    try {
      checkDataFile(this.file);
    } catch (error) {
      throw error instanceof DamagedFile ? this.damaged(error.message, error) : this.refusal(error);
    }
    return true;
  }

  /** A new store is made under this name, so the data file is never half-made. */
  get unfinished(): string {
    return join(this.path, `${DATA_FILE}-new`);
  }

  /** The new store is complete and on disk. This gives it its name. */
  adopt(): void {
    rmSync(`${this.unfinished}-lock`, { force: true });
    renameSync(this.unfinished, this.file);
    syncFolder(this.path);
  }

  /**
   * Writes the engine's lock file in full. The engine writes it through mapped memory, and a full disk would then end the
   * process with SIGBUS. Call it only with the lock, because then no process needs the old content.
   */
  reserveEngineLock(file: string): void {
    writeDurably(`${file}-lock`, Buffer.alloc(ENGINE_LOCK_BYTES));
  }

  mark(): void {
    const marker = join(this.path, MARKER);
    if (existsSync(marker)) return;
    writeDurably(marker, Buffer.from(MARKER_TEXT));
    syncFolder(this.path);
  }

  damaged(what: string, cause?: unknown): BrainError {
    const detail =
      `The data file ${this.file} is damaged: ${what}. Nothing was changed. Restore the data folder from a backup, ` +
      'or move it away to start with an empty store.';
    return new BrainError('unavailable', 'data_file_damaged', detail, { cause });
  }

  /** Explains a failed system call on the folder. */
  refusal(error: unknown): Error {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof BrainError || typeof code !== 'string') return error as Error;
    const make = (name: string, what: string): BrainError =>
      new BrainError('unavailable', name, `The data folder ${this.path} ${what}`, { cause: error });
    if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code))
      return make(
        'storage_full',
        'cannot grow: the disk is full, or a quota or the limit on the size of files (ulimit -f) is reached. ' +
          'Free some space there, or raise the limit, and start again.',
      );
    if (['EACCES', 'EPERM', 'EROFS'].includes(code))
      return make(
        'data_folder_unwritable',
        `cannot be written by this user (${code}). Give it to the user of the service (chown), or set BRAIN_DATA_DIR.`,
      );
    if (['ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS'].includes(code))
      return make(
        'data_folder_unsuitable',
        `is on a file system that cannot have the lock (${code}). Use a local disk or a named volume.`,
      );
    return make('data_folder_unusable', `cannot be used: ${messageOf(error)}. Check BRAIN_DATA_DIR.`);
  }
}

function deviceOf(dev: number): string {
  const big = BigInt(dev);
  const major = ((big >> 8n) & 0xfffn) | ((big >> 32n) & ~0xfffn);
  const minor = (big & 0xffn) | ((big >> 12n) & ~0xffn);
  return `${major}:${minor & 0xffffffn}`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function writeDurably(path: string, content: Buffer): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    writeFileSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A new name survives a power failure only after a flush of its folder. Windows flushes it by itself. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
