/** What the service logs while Redis is away at its start. */

import { sleep } from '../src/shared/clock.js';
import { RedisServer } from './support/redis-server.js';
import { startService } from './support/service.js';

const AWAY_MS = 4000;

describe('Redis that is away at the start', () => {
  it('is in one line a second at most', async () => {
    const redis = await RedisServer.start();
    await redis.stop();
    const service = await startService({ REDIS_URL: redis.url });
    await sleep(AWAY_MS);
    const lines = service.logs.map(({ msg }) => String(msg));
    await service.stop();
    expect(lines[0]).toContain('Redis cannot be reached');
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.length).toBeLessThanOrEqual(AWAY_MS / 1000 + 1);
  });
});
