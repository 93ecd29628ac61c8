/** Missions while their workers and their Redis are killed, stopped and failed over. `npm run test:faults` runs the long form. */
import { sleep } from '../src/shared/clock.js';
import { MissionLoad } from './faults/missions.js';
import { cleanUpAfterEach } from './support/cleanup.js';
import { LONG } from './support/effort.js';
import { processesWith, type ServiceProcess } from './support/process.js';
import { ALWAYS, failOver, RedisServer, startSentinels } from './support/redis-server.js';
import { Target } from './support/target.js';
import { until } from './support/until.js';

const KILLS = LONG ? 50 : 1;
const OFTEN = KILLS === 1 ? 'once' : `${KILLS} times`;
const MISSIONS = LONG ? 1000 : 30;
const FREEZE_MS = LONG ? 10_000 : 1500;
/** As short as it may be; the default is ten times as much. */
const LEASE_SECONDS = 3;
/** How many missions each process runs at one time. */
const PLACES = 10;
const LIMIT_MS = LONG ? 1_800_000 : 120_000;

const startProcess = processesWith({
  BRAIN_LOG_REQUESTS: 'off',
  BRAIN_HTTP_ALLOW_PRIVATE: 'true',
  BRAIN_MISSIONS_LEASE_SECONDS: String(LEASE_SECONDS),
  BRAIN_MISSIONS_CONCURRENCY: String(PLACES),
});
const { started } = cleanUpAfterEach();
let target: Target;
let services: ServiceProcess[];

beforeEach(async () => {
  target = started(await Target.start());
  services = [];
});

async function start(env: Record<string, string>): Promise<void> {
  services.push(await startProcess(env));
}

async function startRedis(): Promise<RedisServer> {
  return started(await RedisServer.start(ALWAYS));
}

/** Kills a process that runs missions. If it may return, it is stopped first and continues after it has lost its missions. */
async function killOne(load: MissionLoad, mayReturn: boolean): Promise<void> {
  await sleep(500 + Math.random() * 500);
  const steps = (services.length - 1) * PLACES + 1;
  const [victim] = services.splice(Math.floor(Math.random() * services.length), 1);
  if (mayReturn) {
    await load.during(steps, () => victim.kill('SIGSTOP'));
    await sleep((LEASE_SECONDS + 2) * 1000);
    victim.kill('SIGCONT');
    await sleep(1000);
    await victim.stop('SIGKILL');
  } else await load.during(steps, () => victim.stop('SIGKILL'));
}

it('a running mission continues after a kill, before the missions that wait for the only place', async () => {
  const env = { BRAIN_MISSIONS_CONCURRENCY: '1' };
  await start(env);
  const [service] = services;
  target.on('/begun', () => undefined);
  for (const path of ['/begun', '/next', '/next', '/next']) {
    const steps = [{ name: 'call', kind: 'http', params: { url: target.url + path } }];
    const { body } = await service.post('/api/missions', { name: 'm', steps });
    await service.post(`/api/missions/${String(body.id)}/execute`, {});
    await until(() => target.times('/begun') === 1, LIMIT_MS, 'the first one');
  }
  await service.stop('SIGKILL');
  services.pop();
  // Each of the others takes the place for good.
  target.on('/next', () => undefined);
  await start(env);
  await until(() => target.asked.length === 2, LIMIT_MS, 'what is begun next');
  expect(target.times('/begun')).toBe(2);
});

it.each([
  ['the service on the embedded store', 1],
  ['one of three replicas on Redis', 3],
])(
  `all missions end correctly when %s is killed ${OFTEN}`,
  async (_what, replicas) => {
    const env: Record<string, string> = replicas === 1 ? {} : { REDIS_URL: (await startRedis()).url };
    await Promise.all(Array.from({ length: replicas }, () => start(env)));
    const load = new MissionLoad(() => services, target);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await killOne(load, replicas > 1 && kill % 5 === 4);
      await start(env);
    }
    await load.stop();
    const { repeated, takenOver } = await load.verify();
    console.log(`${load.ids.length} missions, ${takenOver} taken over, ${repeated} steps repeated`);
    expect(takenOver).toBeGreaterThan(0);
  },
  LIMIT_MS,
);

it(
  `${MISSIONS} missions end correctly when Redis is killed and then frozen for ${FREEZE_MS / 1000} s`,
  async () => {
    const redis = await startRedis();
    const env = { REDIS_URL: redis.url };
    await Promise.all([1, 2].map(() => start(env)));
    const load = new MissionLoad(() => services, target, MISSIONS);
    await load.made(MISSIONS / 3);
    await redis.kill();
    await sleep(500);
    await redis.run();
    await load.made((MISSIONS * 2) / 3);
    redis.freeze();
    await sleep(FREEZE_MS);
    redis.thaw();
    await load.over();
    const { repeated, takenOver } = await load.verify();
    console.log(`${load.ids.length} missions, ${takenOver} taken over, ${repeated} steps repeated`);
    expect(load.ids.length).toBeGreaterThanOrEqual(MISSIONS);
  },
  LIMIT_MS,
);

it(
  `all of ${MISSIONS} missions that survive a failover end correctly, and none is half done`,
  async () => {
    const group = started(await startSentinels());
    await Promise.all([1, 2].map(() => start(group.env)));
    const load = new MissionLoad(() => services, target, MISSIONS);
    await load.made(MISSIONS / 2);
    const [master] = group.servers;
    // What is acknowledged from here on until its death is lost, more than any failover would lose by itself.
    master.cli('acl', 'setuser', 'default', '-psync', '-sync');
    master.cli('client', 'kill', 'type', 'replica');
    await sleep(300);
    await failOver(group);
    await load.over();
    const lost = await load.executeAgain();
    const { repeated, takenOver } = await load.verify({ rollback: true });
    console.log(`${lost} missions lost, ${takenOver} taken over, ${repeated} steps repeated`);
    expect(load.ids.length).toBeGreaterThan(MISSIONS / 3);
  },
  LIMIT_MS,
);
