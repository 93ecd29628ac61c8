/** What must hold of the data folder before the engine may touch it; each refusal says what to do. */
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
/** Says that there was a store here, so that a lost data file is told from a first start. */
const MARKER = 'BRAIN-STORE.txt';
const MARKER_TEXT = `This folder holds the store of a BRAiN control plane, in ${DATA_FILE}.
If ${DATA_FILE} is missing while this file is here, the service refuses to start, rather than start empty.
To restore, put the whole folder back from a backup. To start empty, move the whole folder away.
`;
/** More than the engine needs for its lock file. */
const ENGINE_LOCK_BYTES = 65_536;

/** File systems that other machines write too: the lock, and the memory that the engine shares, work on one machine. */
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
/** FUSE serves local disks too, so there only these names count. */
const NETWORK_FUSE =
  /ssh|s3|gcs|rclone|gluster|goofys|dav|ceph|juicefs|blob|smb|ftp|mfs|moosefs|seaweed|hdfs|lustre|nfs|drive/i;

/** The name of the network file system, or nothing. `device` is as in `mounts`, the text of /proc/self/mountinfo. */
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

  /** Makes the folder if need be. Harmless to another process that has it open. */
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
      `The data folder ${this.path} lies on a network file system (${name}), where neither the lock nor the flush to ` +
      'disk can be relied on. Set BRAIN_DATA_DIR to a folder on a local disk, or use Redis (REDIS_URL).';
    throw new BrainError('unavailable', 'data_folder_on_network', detail);
  }

  /**
   * Only with the lock. False where there never was a store; throws unless what is there can be opened.
   */
  inspect(): boolean {
    rmSync(this.unborn, { force: true });
    rmSync(`${this.unborn}-lock`, { force: true });
    if (!existsSync(this.file)) {
      if (!existsSync(join(this.path, MARKER)) && !existsSync(join(this.path, ENGINE_LOCK))) return false;
      const detail =
        `The data folder ${this.path} was in use before, but ${DATA_FILE} is missing. Restore the folder from a ` +
        'backup; or move it away to start with an empty store.';
      throw new BrainError('unavailable', 'data_file_missing', detail);
    }
    try {
      checkDataFile(this.file);
    } catch (error) {
      throw error instanceof DamagedFile ? this.damaged(error.message, error) : this.refusal(error);
    }
    return true;
  }

  /** Where a new store is made: under its real name there is never a half-made one. */
  get unborn(): string {
    return join(this.path, `${DATA_FILE}-new`);
  }

  /** The new store is complete and on disk; from here on it is the store. */
  adopt(): void {
    rmSync(`${this.unborn}-lock`, { force: true });
    renameSync(this.unborn, this.file);
    syncFolder(this.path);
  }

  /**
   * The engine maps its lock file and fills it through memory, where a full disk ends the process with SIGBUS; written
   * in full beforehand it cannot. Only with our lock, which makes what the file said worthless.
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
      `The data file ${this.file} is damaged: ${what}. Nothing was changed. Restore the data folder from a backup; ` +
      'or move it away to start with an empty store.';
    return new BrainError('unavailable', 'data_file_damaged', detail, { cause });
  }

  /** What a failed system call on the folder means. */
  refusal(error: unknown): Error {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof BrainError || typeof code !== 'string') return error as Error;
    const make = (name: string, what: string): BrainError =>
      new BrainError('unavailable', name, `The data folder ${this.path} ${what}`, { cause: error });
    if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code))
      return make(
        'storage_full',
        'may not grow: the disk is full, or a quota or the limit on the size of files (ulimit -f) is reached. ' +
          'Free some space there, or raise it, and start again.',
      );
    if (['EACCES', 'EPERM', 'EROFS'].includes(code))
      return make(
        'data_folder_unwritable',
        `cannot be written by this user (${code}). Give it to the user of the service (chown), or set BRAIN_DATA_DIR.`,
      );
    if (['ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ENOSYS'].includes(code))
      return make(
        'data_folder_unsuitable',
        `is on a file system which cannot hold the lock (${code}). Use a local disk or a named volume.`,
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

/** A new name in a folder survives a power cut only when the folder was flushed; Windows does that by itself. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
