/** Where a process runs, so that another on the same machine can look whether it still does. */
import { readFileSync, readlinkSync } from 'node:fs';

export interface Whereabouts {
  /** Of the start of the machine. */
  boot: string;
  /** In which the number of the process means something: a container has one of its own. */
  namespace: string;
  pid: number;
  /** When the process began, in ticks since the boot: a number is given again to another. */
  started: string;
}

/** Nothing where the system does not tell. */
export function whereabouts(): Whereabouts | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const namespace = readlinkSync('/proc/self/ns/pid');
    const stat = statOf(process.pid);
    return stat && { boot, namespace, pid: process.pid, started: stat.started };
  } catch {
    return null;
  }
}

/** Only a process of this machine and namespace can be looked for; one that stands still is alive. */
export function fateOf(other: Whereabouts | null | undefined): 'alive' | 'gone' | 'unknown' {
  const own = whereabouts();
  if (!own || !other || own.boot !== other.boot || own.namespace !== other.namespace) return 'unknown';
  if (!exists(other.pid)) return 'gone';
  const stat = statOf(other.pid);
  // One that may not be looked at is there.
  if (!stat) return 'alive';
  return stat.started === other.started && !/[ZX]/.test(stat.state) ? 'alive' : 'gone';
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The name of the program stands in brackets and may hold anything, so the fields are counted from behind it. */
function statOf(pid: number): { state: string; started: string } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], started: fields[19] };
  } catch {
    return null;
  }
}
