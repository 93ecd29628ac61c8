/** The keys of missions in Redis, and missions that another program has written there. */
import type { Mission } from '../src/missions/missions.dto.js';
import { hasStatus, logOf } from './support/missions.js';
import { RedisServer } from './support/redis-server.js';
import { type Service, startService } from './support/service.js';
import { until } from './support/until.js';

const SOON_MS = 15_000;

describe('missions in Redis', () => {
  let redis: RedisServer;
  let service: Service | undefined;

  beforeEach(async () => {
    redis = await RedisServer.start();
  }, 20_000);
  afterEach(async () => {
    await service?.stop();
    await redis.stop();
  });
  const parsed = (...command: string[]): unknown => JSON.parse(redis.cli(...command));

  it('are stored under the keys that other programs read', async () => {
    service = await startService({ REDIS_URL: redis.url });
    const made = (await service.post('/api/missions', { id: 'm-1', name: 'One' }).expect(201))
      .body as Mission;
    await service.post('/api/missions/m-1/log', { message: 'last' }).expect(202);
    await service.post('/api/missions', { id: 'm-2', name: 'Two' }).expect(201);
    await service.post('/api/missions/m-2/execute').expect(202);
    const two = await hasStatus(service, 'm-2', 'COMPLETED', SOON_MS);

    const { result: _result, version: _version, updated_at: _at, ...fields } = made;
    expect(parsed('get', 'brain:missions:mission:m-1')).toMatchObject(fields);
    expect(parsed('get', 'brain:missions:mission:m-2')).toMatchObject({
      status: 'COMPLETED',
      finished_at: two.finished_at,
    });
    expect(redis.cli('smembers', 'brain:missions:index').split('\n').sort()).toEqual(['m-1', 'm-2']);
    expect(redis.cli('type', 'brain:missions:log:m-1')).toBe('list');
    const lines = redis.cli('lrange', 'brain:missions:log:m-1', '0', '-1').split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual(await logOf(service, 'm-1'));
    expect(parsed('get', 'brain:missions:stats')).toEqual({
      total: 2,
      by_status: { PENDING: 1, RUNNING: 0, COMPLETED: 1, FAILED: 0, CANCELLED: 0 },
      last_updated: expect.any(Number),
    });
  });

  it('of another program are listed, counted and run, and keep their unknown fields', async () => {
    const fill = (id: string, mission: object): void => {
      redis.cli(
        'set',
        `brain:missions:mission:${id}`,
        JSON.stringify({ id, name: `Mission ${id}`, ...mission }),
      );
      redis.cli('sadd', 'brain:missions:index', id);
    };
    fill('waits', {
      status: 'PENDING',
      created_at: 100,
      description: null,
      steps: null,
      created_by: null,
      owner: 'x',
    });
    fill('runs', { status: 'RUNNING', created_at: 200, agent_id: 'outside-7' });
    fill('ended', { status: 'COMPLETED', created_at: 300, updated_at: 350.5 });
    fill('strange', { status: 'SLEEPING', created_at: 400 });
    redis.cli(
      'rpush',
      'brain:missions:log:waits',
      '{"timestamp":1,"level":"info","message":"before","data":{}}',
    );

    service = await startService({ REDIS_URL: redis.url });
    const one = service;
    await until(async () => (await one.get('/api/missions')).status === 200, SOON_MS, 'the adoption');
    const { body } = await one.get('/api/missions?view=full').expect(200);
    expect(body.missions.map(({ id }: Mission) => id)).toEqual(['ended', 'runs', 'waits']);
    expect(body.missions[0]).toMatchObject({ finished_at: 350.5, updated_at: 350.5 });
    expect(body.missions[1]).toMatchObject({ agent_id: 'outside-7', agent_role: 'agent', finished_at: null });
    expect(body.missions[2]).toMatchObject({
      description: null,
      data: {},
      steps: [],
      priority: 'NORMAL',
      created_by: 'unknown',
      agent_id: 'unknown',
      progress: { done: 0, total: 0 },
    });
    const { stats } = (await one.get('/api/missions/stats/overview').expect(200)).body;
    expect(stats.by_status).toMatchObject({ PENDING: 1, RUNNING: 1, COMPLETED: 1 });
    await one.get('/api/missions?agent_id=outside-7&status=RUNNING').expect(200);

    // It was not ours to run; now it is.
    await one.post('/api/missions/runs/execute').expect(409);
    await one.post('/api/missions/runs/status', { status: 'COMPLETED' }).expect(200);
    await one.post('/api/missions/waits/execute').expect(202);
    await hasStatus(one, 'waits', 'COMPLETED', SOON_MS);
    expect((await logOf(one, 'waits')).map(({ message }) => message)).toEqual([
      'before',
      'Mission status changed',
      'Mission status changed',
    ]);
    expect(parsed('get', 'brain:missions:mission:waits')).toMatchObject({ owner: 'x', status: 'COMPLETED' });
  });
});
