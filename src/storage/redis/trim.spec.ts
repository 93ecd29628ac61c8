/** Two replicas that trim at the same time. */

import { openReady } from '../../../test/support/redis-clients.js';
import { RedisServer } from '../../../test/support/redis-server.js';
import type { LoggedEvent } from '../event-log.js';
import { LOG_END } from '../event-log.js';

it('two trims that overlap report each removed event once', async () => {
  const server = await RedisServer.start();
  const [one, other] = [await openReady(server.url), await openReady(server.url)];
  try {
    const events = Array.from({ length: 30 }, (_, n) => ({ json: `{"n":${n}}`, keys: [`s:${n % 3}`] }));
    await one.log.append('batch', events);
    const report = (removed: LoggedEvent[]) => [{ json: `{"trimmed":${removed.length}}`, keys: [] }];
    // The first one has read what it will remove when the second one removes a part of that.
    const script = one.link.script.bind(one.link);
    jest.spyOn(one.link, 'script').mockImplementationOnce(async (...args) => {
      await other.log.trim(LOG_END, 10, report);
      return script(...args);
    });
    const gone = await one.log.trim(LOG_END, 20, report);
    const left = await one.log.read({ order: 'asc', limit: 100 });
    const reported = left.map(({ json }) => (JSON.parse(json) as { trimmed?: number }).trimmed ?? 0);
    const removed = 30 - left.filter(({ json }) => json.includes('"n"')).length;
    expect({ gone: gone.length, reported: reported.reduce((sum, n) => sum + n, 0), removed }).toEqual({
      gone: 0,
      reported: removed,
      removed,
    });
  } finally {
    await one.store.close();
    await other.store.close();
    await server.stop();
  }
});
