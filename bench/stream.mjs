/** The event stream: how fast events get into the log, out of it, and from one replica to those who read at another. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compare, median } from './compare.mjs';
import {
  ask,
  cpuSeconds,
  HERE,
  headers,
  newStore,
  startServer,
  startService,
  startWorker,
  stop,
} from './processes.mjs';
import { figure, range, row } from './table.mjs';

const LIVE = '/api/events/stream';
const LATENCY = { events: 10_000, perSecond: 1000 };
const CROWD = { readers: 1000, events: 1000, perSecond: 50 };
/** The number of events of each subject, in the short log and in the long one. */
const PER_SUBJECT = 100;
const FEW = 10_000;
const REPLAYED = 100_000;
const REPLAYS = 7;
const SETTLE_MS = 500;

/** Nothing is trimmed while it is measured. */
const UNTRIMMED = { BRAIN_EVENTS_MAX_LENGTH: '100000000' };

function spread(values) {
  return { ratio: median(values), least: Math.min(...values), most: Math.max(...values) };
}

async function appends() {
  for (const kind of ['embedded', 'Redis']) {
    const store = await newStore(kind);
    const rounds = await ask('append.mjs', [], { ...store.settings, ...UNTRIMMED }, ['--expose-gc']);
    await store.end();
    const ours = spread(rounds.map((round) => round.ours));
    if (kind === 'embedded') {
      const met = ours.ratio >= 12_000;
      row('Buffered events into the log, embedded, per second', ours, range(ours), '≥ 12000', met);
      continue;
    }
    const result = spread(rounds.map((round) => round.ours / round.theirs));
    const rates = `${figure(ours.ratio)}/s against ${figure(median(rounds.map((round) => round.theirs)))}/s`;
    const what = 'Buffered events into the log, Redis, against a bare loop of script calls';
    row(what, result, `${range(result)}; ${rates}`, '≥ 0.5', result.ratio >= 0.5);
  }
}

/** Published at one replica, read at another; what the readers saw, and how the replica that they read at fared. */
async function live({ readers, events, perSecond }) {
  const store = await newStore('Redis');
  const settings = { ...store.settings, BRAIN_STREAM_MAX_CLIENTS_PER_KEY: '2000' };
  const [publisher, replica] = ['replica.mjs', 'replica.mjs'].map((script) => startWorker(script, settings));
  const client = startWorker('follow.mjs');
  const [, { url }] = await Promise.all([publisher.ready(), replica.ready()]);
  await client.send({ open: readers, url: url + LIVE, headers });
  // A warm-up, which is read but not counted.
  await publisher.send({ publish: perSecond * 3, perSecond });
  await client.send({ until: perSecond * 3 });
  await replica.send({ watch: true });
  const seen = client.send({ until: events });
  await publisher.send({ publish: events, perSecond });
  const result = { ...(await seen), ...(await replica.send({ watch: false })) };
  await Promise.all([client, publisher, replica].map(stop));
  await store.end();
  return result;
}

async function latency() {
  const { p50Ms, p99Ms } = await live({ readers: 1, ...LATENCY });
  const measured = `p50 ${figure(p50Ms)} ms, p99 ${figure(p99Ms)} ms`;
  const what = `From publish to a reader at another replica, ${LATENCY.perSecond} events/s`;
  row(what, { p50Ms, p99Ms }, measured, '< 20 ms', p50Ms < 20);
}

async function crowd() {
  const { held, p50Ms, p99Ms } = await live(CROWD);
  const { readers, perSecond } = CROWD;
  const delays = `p50 ${figure(held.p50Ms)}, p99 ${figure(held.p99Ms)}, at most ${figure(held.maxMs)} ms`;
  const reached = `events there after ${figure(p50Ms)} ms, 99 of 100 within ${figure(p99Ms)} ms`;
  const what = `Delay of the event loop, ${readers} readers, ${perSecond} events/s, each got all`;
  row(what, { held, p50Ms, p99Ms }, `${delays}; ${reached}`, 'p99 < 50 ms', held.p99Ms < 50);
}

async function filled(kind, count) {
  const store = await newStore(kind);
  const settings = { ...store.settings, ...UNTRIMMED };
  const { seconds } = await ask('fill.mjs', ['events', count, count / PER_SUBJECT], settings);
  if (count > FEW) console.log(`  ${count} events filled into ${kind} in ${figure(seconds)} s`);
  const server = await startService(settings);
  const end = async () => {
    await stop(server);
    await store.end();
  };
  return { server, settings, end };
}

async function bySubject(load, many) {
  for (const kind of ['embedded', 'Redis']) {
    const logs = [await filled(kind, FEW), await filled(kind, many)];
    const [few, long] = logs.map(({ server }) => {
      const path = '/api/events?subject=00000000-0000-4000-8000-000000000042';
      return { server, request: { method: 'GET', path, headers } };
    });
    const result = await compare(load, few, long, { connections: 8, rounds: 5, ms: 1000 });
    const measured = `${range(result)}; ${figure(result.theirs.p50Ms)} ms against ${figure(result.ours.p50Ms)} ms`;
    const what = `Events of a subject, ${kind}: ${many} events against ${FEW}, times`;
    row(what, result, measured, '≤ 3', result.ratio <= 3);
    for (const log of logs) await log.end();
  }
}

async function replay() {
  const { server, settings, end } = await filled('Redis', REPLAYED);
  const bare = await startServer(join(HERE, 'server.xrange.mjs'), settings);
  const client = startWorker('follow.mjs');
  const read = async (from, path) => {
    const before = cpuSeconds(from);
    const { ms } = await client.send({ replay: REPLAYED, url: from.url + path, headers });
    const cpuUs = ((cpuSeconds(from) - before) * 1e6) / REPLAYED;
    // The server that was left notices it, and nothing of it runs into the next round.
    await sleep(SETTLE_MS);
    return { perSecond: (REPLAYED * 1000) / ms, cpuUs };
  };
  const rounds = [];
  for (let i = 0; i <= REPLAYS; i += 1) {
    const first = i % 2 === 0 ? await read(bare, '/') : undefined;
    const ours = await read(server, `${LIVE}?last_event_id=0-0`);
    rounds.push({ ours, theirs: first ?? (await read(bare, '/')) });
  }
  // The first round is the warm-up.
  rounds.shift();
  await Promise.all([bare, client].map(stop));
  await end();
  const result = spread(rounds.map(({ ours, theirs }) => ours.perSecond / theirs.perSecond));
  const of = (side, name) => figure(median(rounds.map((round) => round[side][name])));
  const rates = `${of('ours', 'perSecond')}/s against ${of('theirs', 'perSecond')}/s`;
  const cpu = `CPU of the server ${of('ours', 'cpuUs')} against ${of('theirs', 'cpuUs')} µs`;
  const what = `Replay of ${REPLAYED} events, Redis, against bare XRANGE to a socket`;
  const measured = `${range(result)}; ${rates}, ${cpu}`;
  row(what, result, measured, '≥ 0.5', result.ratio >= 0.5);
}

/** Microseconds of CPU for an event of a trim: of Redis, or of the process with the embedded store. */
async function trims() {
  for (const kind of ['embedded', 'Redis']) {
    const store = await newStore(kind);
    const rounds = await ask('trim.mjs', [], { ...store.settings, ...UNTRIMMED });
    await store.end();
    const [moved, removed] = ['moved', 'removed'].map((fate) =>
      spread(rounds.map((round) => round[fate].us)),
    );
    const bytes = (fate, name) => figure(median(rounds.map((round) => round[fate][name])));
    const sizes =
      kind === 'Redis' ? `; bytes: ${bytes('moved', 'bytes')}, moved ${bytes('moved', 'bytesAfter')}` : '';
    const what = `A trim, ${kind}, µs of CPU for a moved event`;
    row(what, moved, `${range(moved)}; removed ${range(removed)}${sizes}`, '< 20', moved.ratio < 20);
  }
}

export async function stream(load, many) {
  await appends();
  await trims();
  await latency();
  await crowd();
  await replay();
  await bySubject(load, many);
}
