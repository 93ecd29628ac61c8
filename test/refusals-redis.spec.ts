/** A Redis that answers and refuses writes: `/readyz` is 503, and 200 again when writes work, even if no client writes. */
import { execFileSync } from 'node:child_process';
import { openClient } from './support/redis-clients.js';
import { RedisServer } from './support/redis-server.js';
import { type Service, startService } from './support/service.js';
import { until } from './support/until.js';

const HEARD_MS = 10_000;
const report = { type: 'probe', source: 'probe', severity: 'LOW' };

let redis: RedisServer;
let service: Service;

beforeEach(async () => {
  redis = await RedisServer.start();
  redis.cli('acl', 'setuser', 'app', 'on', '>secret', '~*', '&*', '+@all');
}, 20_000);
afterEach(async () => {
  await service.stop();
  await redis.stop();
}, 20_000);

async function begin(events: string): Promise<void> {
  const url = redis.url.replace('//', '//app:secret@');
  service = await startService({ REDIS_URL: url, BRAIN_EVENTS: events, BRAIN_SHUTDOWN_GRACE_SECONDS: '3' });
  await until(async () => (await service.get('/readyz')).status === 200, HEARD_MS, 'the start');
}

const saveStatus = async (status: 'ok' | 'err'): Promise<void> => {
  redis.cli('bgsave');
  const isSo = (): boolean => redis.cli('info', 'persistence').includes(`rdb_last_bgsave_status:${status}`);
  await until(isSo, HEARD_MS, `the status ${status} of a save`);
};
const limitFiles = (bytes: string): unknown =>
  execFileSync('prlimit', ['--pid', String(redis.pid), `--fsize=${bytes}:`]);
const failToSave = async (): Promise<void> => {
  redis.cli('config', 'set', 'save', '3600 100000');
  limitFiles('1');
  await saveStatus('err');
};
const save = async (): Promise<void> => {
  limitFiles('unlimited');
  await saveStatus('ok');
};

type Trouble = [code: string, why: string, begin: () => unknown, end: () => unknown, advice: RegExp];

const TROUBLES: Trouble[] = [
  [
    'store_read_only',
    'it became a replica',
    () => redis.cli('replicaof', '127.0.0.1', '1'),
    () => redis.cli('replicaof', 'no', 'one'),
    /point the settings to the master/,
  ],
  ['store_not_persisting', 'it cannot save to its disk', failToSave, save, /[Ff]ree space on its disk/],
  [
    'store_not_replicated',
    'it has too few replicas',
    () => redis.cli('config', 'set', 'min-replicas-to-write', '1'),
    () => redis.cli('config', 'set', 'min-replicas-to-write', '0'),
    /too few replicas/,
  ],
  [
    'store_auth_failed',
    'its user may only read',
    () => redis.cli('acl', 'setuser', 'app', '-@write'),
    () => redis.cli('acl', 'setuser', 'app', '+@all'),
    /lacks a permission/,
  ],
  [
    'store_auth_failed',
    'its user may run no scripts',
    () => redis.cli('acl', 'setuser', 'app', '-@scripting'),
    () => redis.cli('acl', 'setuser', 'app', '+@all'),
    /lacks a permission/,
  ],
];

describe.each(['on', 'off'])('with events %s, a Redis that refuses every write', (events) => {
  it.each(TROUBLES)(
    'is reported as %s because %s',
    async (code, _why, trouble, cure, advice) => {
      await begin(events);
      await trouble();
      await until(async () => (await service.get('/readyz')).status === 503, HEARD_MS, '/readyz saying no');
      const { body } = await service.get('/readyz').expect(503);
      expect(body).toMatchObject({ code, detail: expect.stringMatching(advice) });
      expect((await service.post('/api/threats', report).expect(503)).body.code).toBe(code);
      expect((await service.get('/api/threats/health').expect(503)).body.code).toBe(code);
      await service.get('/livez').expect(200);
      await cure();
      await until(async () => (await service.get('/readyz')).status === 200, HEARD_MS, '/readyz saying yes');
      expect((await service.get('/readyz')).body.warnings).toEqual([]);
      await service.post('/api/threats', report).expect(201);
    },
    40_000,
  );
});

it('a Redis whose replicas confirm no write is reported as one that refuses writes', async () => {
  await begin('on');
  const client = openClient({ url: redis.url, wait: 1 });
  const refused = { ok: false, refusesWrites: true, code: 'store_not_replicated' };
  expect(await client.store.health()).toMatchObject(refused);
  await client.store.close();
}, 40_000);

it('a full Redis causes a warning; decisions and deletes work', async () => {
  await begin('on');
  const { body: key } = await service.post('/api/keys', { name: 'spare', role: 'agent' }).expect(201);
  redis.cli('config', 'set', 'maxmemory', '1');
  expect((await service.post('/api/threats', report).expect(503)).body.code).toBe('storage_full');
  const warned = async (): Promise<boolean> => {
    const { body } = await service.get('/readyz').expect(200);
    return (body.warnings as string[]).some((text) => text.startsWith('storage_full: Redis is full'));
  };
  await until(warned, HEARD_MS, 'the warning');
  await service.get('/api/threats/health').expect(200);
  await service.delete(`/api/keys/${key.id as string}`).expect(204);
  const question = { agent_id: 'a', agent_role: 'admin', action: 'data.read' };
  await service.post('/api/policy/evaluate', question).expect(200);
  redis.cli('config', 'set', 'maxmemory', '0');
  await until(async () => !(await warned()), HEARD_MS, 'the end of the warning');
  await service.post('/api/threats', report).expect(201);
}, 40_000);
