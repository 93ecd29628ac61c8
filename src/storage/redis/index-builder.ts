/**
 * Makes sure that the indexes of each collection have the version of its declaration. They may have another version, or
 * be missing, as in a database that another program filled. One replica then builds them under a lease, and the others
 * wait.
 */
import { sleep, within } from '../../shared/clock.js';
import { isStoreAway, messageOf } from '../../shared/errors.js';
import { LogOnce } from '../../shared/log-once.js';
import type { AnyCollection } from '../plan.js';
import { unavailable } from './errors.js';
import { BUILD_LEASE_MS, IndexBuild } from './index-build.js';
import { indexField } from './keys.js';
import type { RedisLeases } from './leases.js';
import type { RedisLink } from './link.js';

/** How long a request waits for a build. */
const REQUEST_WAIT_MS = 1500;
/** How often a waiting replica looks whether the build of another one is finished. */
const LOOK_MS = 250;
/** How often a waiting replica logs that it waits. */
const WAIT_LOG_MS = 5000;

export class IndexBuilder {
  private readonly declared = new Map<string, AnyCollection>();
  private readonly running = new Map<string, Promise<void>>();
  private readonly wasReady = new Set<string>();
  private readonly waitLog = new LogOnce(WAIT_LOG_MS);

  constructor(
    private readonly link: RedisLink,
    private readonly leases: RedisLeases,
  ) {
    link.onConnect(() => {
      for (const collection of this.declared.values()) this.start(collection);
    });
  }

  declare(collection: AnyCollection): void {
    if (this.declared.has(collection.name)) return;
    this.declared.set(collection.name, collection);
    this.start(collection);
  }

  /** Resolves when the indexes have the version of the declaration. Rejects when the request has waited long enough. */
  ready(collection: AnyCollection): Promise<void> {
    const detail = `A replica is building the indexes of ${collection.name}; try again in a moment.`;
    const late = (): Error => unavailable('index_rebuilding', detail);
    return within(REQUEST_WAIT_MS, this.prepared(collection), late);
  }

  private start(collection: AnyCollection): void {
    this.prepared(collection).catch((error: unknown) => {
      if (!this.link.closed && !isStoreAway(error)) {
        this.link.log.error(`${collection.name}: the indexes are not ready`, { cause: messageOf(error) });
      }
    });
  }

  private prepared(collection: AnyCollection): Promise<void> {
    const running = this.running.get(collection.name);
    if (running) return running;
    const prepare = this.prepare(collection).finally(() => this.running.delete(collection.name));
    this.running.set(collection.name, prepare);
    return prepare;
  }

  /** Builds, or waits for the build of another replica. The wait has no limit, because a large build needs minutes. */
  private async prepare(collection: AnyCollection): Promise<void> {
    const { name, indexVersion } = collection;
    while (!this.link.closed) {
      const marker = (await this.link.command('hget', [this.link.keys.collections, indexField(name)])) as
        | string
        | null;
      if (marker === String(indexVersion)) {
        this.wasReady.add(name);
        return;
      }
      // Two releases that run side by side must not rebuild in turn for ever. The newer one wins.
      if (this.wasReady.has(name) && Number(marker) > indexVersion) {
        const detail = `The indexes of ${name} belong to a newer release. Upgrade this replica, or restart it to rebuild them.`;
        throw unavailable('index_rebuilding', detail);
      }
      const lease = await this.leases.acquire(`index:${name}`, BUILD_LEASE_MS);
      if (lease) {
        try {
          await new IndexBuild(this.link, this.leases, collection, lease).run();
        } finally {
          await this.leases.release(lease).catch(() => undefined);
        }
      } else {
        if (this.waitLog.isDue(name))
          this.link.log.info(`${name}: waiting for another replica to build the indexes`);
        await sleep(LOOK_MS);
      }
    }
  }
}
