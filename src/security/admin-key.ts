/** How the first person gets in. */
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
import { FIRST_KEY, isWellFormed, MARKS, makeKey } from './api-key.js';
import type { ApiKeys } from './api-keys.js';
import type { KeyRing } from './key-ring.js';

/** What the start-up block says about the way in. */
export type AdminAccess =
  /** BRAIN_BOOTSTRAP_KEY is an admin. */
  | { kind: 'env' }
  /** Made now, to be printed on the terminal, this once; `printed` must be called after that. */
  | { kind: 'made'; key: string; printed(): void }
  /** An admin key lies in this file, since now or since an earlier start. */
  | { kind: 'file'; path: string }
  /** There is an admin key, and those who have it know it. */
  | { kind: 'exists' }
  /** Nobody can get in until BRAIN_BOOTSTRAP_KEY is set. */
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

  /** Sees to it that there is an admin, as far as that is ours to do; called once at the start. */
  async bootstrap(terminal: boolean): Promise<AdminAccess> {
    if (this.settings.bootstrapKey !== null) return { kind: 'env' };
    if (this.store.kind === 'embedded') {
      const made = (await this.store.get(MARKS, FIRST_KEY)) ? undefined : await this.makeFirst();
      if (made !== undefined && terminal) {
        return { kind: 'made', key: made, printed: () => rmSync(this.path, { force: true }) };
      }
      if (await this.fileOpens()) return { kind: 'file', path: this.path };
    }
    return { kind: (await this.keys.hasAdmin()) ? 'exists' : 'missing' };
  }

  /**
   * The secret is on disk before it becomes the only one: whatever ends the process between here and the terminal,
   * the next start finds the file. Where that start comes before the commit, it goes on with the same secret.
   */
  private async makeFirst(): Promise<string | undefined> {
    const key = this.keptSecret() ?? this.keepSecret(makeKey());
    return (await this.keys.createFirst(key, 'admin')) ? key : undefined;
  }

  /** A file that others could read, or write, is no place for a secret to come from. */
  private keptSecret(): string | undefined {
    const key = this.readFile();
    if (key === undefined || !isWellFormed(key)) return undefined;
    return (statSync(this.path).mode & 0o077) === 0 ? key : undefined;
  }

  private keepSecret(key: string): string {
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

  private async fileOpens(): Promise<boolean> {
    const key = this.readFile();
    if (key === undefined) return false;
    // Why it does not open anything is no concern here; a store that is away shows itself at the next question.
    const principal = await this.ring.find(key).catch(() => undefined);
    return principal?.role === 'admin';
  }

  private readFile(): string | undefined {
    return existsSync(this.path) ? readFileSync(this.path, 'utf8').trim() : undefined;
  }
}
