/**
 * Places for a data folder where the data file may not grow. A limit on the size of files can be had everywhere; a file
 * system of a few MiB only where this user may mount one, and there it is a place of its own in the list.
 */
import { execFileSync } from 'node:child_process';
import { temporaryFolder } from './folder.js';
import type { ServiceProcess } from './process.js';

const DISK_BYTES = 12 * 2 ** 20;
const ROOMY_BYTES = 64 * 2 ** 20;
/** The file is larger from the start: then no page of it can be written, not even again. */
const NOTHING_BYTES = 8192;

export interface SmallDisk {
  readonly path: string;
  /** From here on the data file grows by a few MiB at most. */
  tighten(service: ServiceProcess): void;
  loosen(service: ServiceProcess): void;
  remove(): void;
}

/** Changes a limit of a process that runs; its owner may raise it again. */
function limitFileSize(service: ServiceProcess, bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(service.pid), `--fsize=${bytes}:`]);
}

/** No write of this process reaches its data file any more. */
export function refuseAllWrites(service: ServiceProcess): void {
  limitFileSize(service, NOTHING_BYTES);
}

export function allowWrites(service: ServiceProcess): void {
  limitFileSize(service, 'unlimited');
}

function limitedFile(): SmallDisk {
  const folder = temporaryFolder();
  return {
    ...folder,
    tighten: (service) => limitFileSize(service, 3 * 2 ** 20),
    loosen: allowWrites,
  };
}

function smallFileSystem(): SmallDisk {
  const folder = temporaryFolder();
  const mount = (options: string): unknown =>
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder.path], { stdio: 'ignore' });
  try {
    mount(`size=${DISK_BYTES}`);
  } catch (error) {
    folder.remove();
    throw error;
  }
  return {
    path: folder.path,
    tighten: () => undefined,
    loosen: () => mount(`remount,size=${ROOMY_BYTES}`),
    remove: () => {
      execFileSync('umount', ['--lazy', folder.path]);
      folder.remove();
    },
  };
}

function mayMount(): boolean {
  try {
    smallFileSystem().remove();
    return true;
  } catch {
    return false;
  }
}

export const SMALL_DISKS: [name: string, make: () => SmallDisk][] = [
  ['a limit on the size of files', limitedFile],
  ...(mayMount() ? [['a full disk', smallFileSystem] as [string, () => SmallDisk]] : []),
];
