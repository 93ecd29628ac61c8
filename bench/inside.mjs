/**
 * Starts the service in this process, for measurements that are not possible over HTTP. It comes from `build/`, from which
 * `dist/` is made.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ROOT } from './processes.mjs';

const part = (path) => import(join(ROOT, 'build', path));

export async function openService() {
  const [setup, { readConfig }, { Logger }] = await Promise.all(
    ['app.setup.js', 'config/config.js', 'shared/logger.js'].map(part),
  );
  const config = readConfig({ ...process.env, BRAIN_SHUTDOWN_GRACE_SECONDS: '1' });
  const logger = new Logger({ level: 'warn', format: 'json' });
  const app = await setup.createApp(config, logger);
  const paths = ['storage/store', 'storage/event-log', 'events/event-stream', 'events/live/follower'];
  const parts = [...paths, 'missions/missions.service'].map((path) => part(`${path}.js`));
  const [{ Store }, { EventLog }, { EventStream }, { LogFollower }, { MissionsService }] =
    await Promise.all(parts);
  const { EventEmitter2 } = createRequire(join(ROOT, 'build/app.module.js'))('@nestjs/event-emitter');
  return {
    logger,
    store: app.get(Store),
    log: app.get(EventLog),
    events: app.get(EventStream),
    newStream: (log) => new EventStream(log, logger),
    follower: app.get(LogFollower),
    missions: app.get(MissionsService),
    emitter: app.get(EventEmitter2),
    listen: async () => {
      await app.listen(0, '127.0.0.1');
      return app.getUrl();
    },
    close: () => app.close(),
  };
}

export const { THREATS } = await part('threats/threats.collection.js');
export const { threatDetected } = await part('threats/threats.events.js');
export const { ruleEvaluated } = await part('policy/decisions/decision.events.js');
export const { isEvidence } = await part('events/trim-reports.js');
export const { runInContext } = await part('shared/context.js');
export const { digest } = await part('shared/ids.js');

const SEVERITIES = ['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'];
const STATUSES = ['OPEN', 'INVESTIGATING', 'ESCALATED', 'RESOLVED'];
const TYPES = 10;
const SOURCES = 500;
/** The time of the first threat. One follows every ten seconds. */
const EPOCH_SECONDS = 1_700_000_000;

/** The n-th threat of a fill. Each severity, status, type and source is equally frequent, and they are independent. */
export function threat(n) {
  const seconds = EPOCH_SECONDS + n * 10;
  return {
    id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    type: `type_${Math.floor(n / 16) % TYPES}`,
    source: `agent:researcher-${n % SOURCES}`,
    severity: SEVERITIES[n % 4],
    status: STATUSES[Math.floor(n / 4) % 4],
    description: 'A fetched page told the agent to reveal its keys',
    metadata: { url: 'https://example.org/page' },
    created_at: seconds,
    last_seen_at: seconds,
    occurrences: 1,
    fingerprint: null,
    resolution: null,
    mitigated_at: null,
    opened_at: seconds,
    version: 1,
  };
}
