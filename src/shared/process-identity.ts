/** Identifies a process, so that another process on the same machine can find out whether it still runs. */
import { readFileSync, readlinkSync } from 'node:fs';

export interface Whereabouts {
  /** The id of the current boot of the machine. */
  boot: string;
  /** The namespace of the process id: a container has its own. */
  namespace: string;
  pid: number;
  /** When the process began, in ticks since the boot. Process ids are used again, so the id alone is not enough. */
  started: string;
}

/** Null if the system does not provide it. */
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

/** Unknown for a process of another machine or namespace. A process that is stopped by SIGSTOP counts as running. */
export function processState(other: Whereabouts | null | undefined): 'running' | 'ended' | 'unknown' {
  const own = whereabouts();
  if (!own || !other || own.boot !== other.boot || own.namespace !== other.namespace) return 'unknown';
  if (!exists(other.pid)) return 'ended';
  const stat = statOf(other.pid);
  // A process that may not be inspected exists.
  if (!stat) return 'running';
  return stat.started === other.started && !/[ZX]/.test(stat.state) ? 'running' : 'ended';
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The name of the program is in brackets and may contain any text, so the fields are counted from its end. */
function statOf(pid: number): { state: string; started: string } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], started: fields[19] };
  } catch {
    return null;
  }
}
