/** Makes the first admin key, and finds out where the admin key is. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.js';
import type { Store } from '../storage/store.js';
import { FIRST_KEY, isWellFormedKey, MILESTONES, makeKey } from './api-key.js';
import type { ApiKeys } from './api-keys.js';
import type { KeyRing } from './key-ring.js';

/** What the start-up block says about the admin key. */
export type AdminAccess =
  /** BRAIN_BOOTSTRAP_KEY is an admin. */
  | { kind: 'env' }
  /** Made now. Print it on the terminal once, then call `printed`. */
  | { kind: 'made'; key: string; printed(): void }
  /** An admin key is in this file, from this start or an earlier one. */
  | { kind: 'file'; path: string }
  /** There is an admin key, which was made and shown earlier. */
  | { kind: 'exists' }
  /** There is none. BRAIN_BOOTSTRAP_KEY must be set. */
  | { kind: 'missing' };

export class AdminKey {
  private readonly path: string;

  constructor(
    private readonly store: Store,
    private readonly keys: ApiKeys,
    private readonly ring: KeyRing,
    private readonly settings: Pick<Config, 'bootstrapKey' | 'dataDir'>,
  ) {
    this.path = join(settings.dataDir, 'admin.key');
  }

  /** Makes the first admin key on an embedded store that has never had a key. Called once at the start. */
  async bootstrap(terminal: boolean): Promise<AdminAccess> {
    if (this.settings.bootstrapKey !== null) return { kind: 'env' };
    if (this.store.kind === 'embedded') {
      const made = (await this.store.get(MILESTONES, FIRST_KEY)) ? undefined : await this.makeFirst();
      if (made !== undefined && terminal) {
        return { kind: 'made', key: made, printed: () => rmSync(this.path, { force: true }) };
      }
      if (await this.fileHasAdmin()) return { kind: 'file', path: this.path };
    }
    return { kind: (await this.keys.hasAdmin()) ? 'exists' : 'missing' };
  }

  /**
   * The key is in the file before it is committed. If the process ends before the key is printed, the next start finds the
   * file. If it ends before the commit, the next start uses the same key.
   */
  private async makeFirst(): Promise<string | undefined> {
    const key = this.keyInFile() ?? this.writeFile(makeKey());
    return (await this.keys.createFirst(key, 'admin')) ? key : undefined;
  }

  /** Ignores a file that other users could read or write. */
  private keyInFile(): string | undefined {
    const key = this.readFile();
    if (key === undefined || !isWellFormedKey(key)) return undefined;
    return (statSync(this.path).mode & 0o077) === 0 ? key : undefined;
  }

  private writeFile(key: string): string {
    rmSync(this.path, { force: true });
    const file = openSync(this.path, 'wx', 0o600);
    try {
      writeSync(file, `${key}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    const folder = openSync(this.settings.dataDir, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
    return key;
  }

  private async fileHasAdmin(): Promise<boolean> {
    const key = this.readFile();
    if (key === undefined) return false;
    // A store that cannot be reached is reported by the next call.
    const principal = await this.ring.find(key).catch(() => undefined);
    return principal?.role === 'admin';
  }

  private readFile(): string | undefined {
    return existsSync(this.path) ? readFileSync(this.path, 'utf8').trim() : undefined;
  }
}
