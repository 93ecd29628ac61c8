/** The idempotency records of the embedded store. Each has the time of its commit in front, and the sweeper removes old ones. */
import { sha256 } from '../../shared/ids.js';
import { IDEMPOTENCY_KEPT_SECONDS } from '../store.js';
import type { EmbeddedDatabase, Key } from './database.js';
import { under } from './indexes.js';

/** The most rows that one commit removes, so that no commit blocks the event loop for long. */
const CHUNK = 1000;
const SWEEP_MS = 60_000;
const ALL: Key = ['once'];

export class IdempotencyRecords {
  private readonly sweeper: NodeJS.Timeout;

  constructor(private readonly db: EmbeddedDatabase) {
    this.sweeper = setInterval(() => {
      // A failed sweep is tried again at the next interval. `health` reports why the store takes no writes.
      this.sweep().catch(() => undefined);
    }, SWEEP_MS);
    this.sweeper.unref();
  }

  get(key: string): string | undefined {
    const row = this.db.meta.get(rowOf(key));
    return row === undefined ? undefined : row.slice(row.indexOf(' ') + 1);
  }

  /** Only inside a commit. */
  put(key: string, record: string): void {
    this.db.meta.putSync(rowOf(key), `${Date.now()} ${record}`);
  }

  close(): void {
    clearInterval(this.sweeper);
  }

  private async sweep(): Promise<void> {
    const oldest = Date.now() - IDEMPOTENCY_KEPT_SECONDS * 1000;
    let after = ALL;
    for (;;) {
      const range = { ...under(ALL), start: after, exclusiveStart: true, limit: CHUNK };
      const chunk = [...this.db.meta.getRange(range)];
      const last = chunk.at(-1);
      if (!last) return;
      const old = chunk.filter(({ value }) => Number(value.slice(0, value.indexOf(' '))) < oldest);
      if (old.length > 0) {
        const remove = (): void => {
          for (const { key } of old) this.db.meta.removeSync(key);
        };
        await this.db.commit(remove, 'none');
      }
      after = last.key;
    }
  }
}

function rowOf(key: string): Key {
  return [...ALL, sha256(key)];
}
