/** All benchmarks, and one table at the end. See README.md for what each line means. */
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { compare } from './compare.mjs';
import { decisions } from './decisions.mjs';
import { coldStart, productionDependencies } from './footprint.mjs';
import { missions } from './missions.mjs';
import {
  ask,
  HERE,
  headers,
  newStore,
  ROOT,
  SERVICE_FLAGS,
  startClient,
  startServer,
  startService,
  stop,
} from './processes.mjs';
import { stream } from './stream.mjs';
import { figure, print, range, row, save } from './table.mjs';

const FEW = 1000;
const MANY = process.argv.includes('--full') ? 1_000_000 : 100_000;
/** Each of the two filters then selects 10,000: the most that are counted one by one. */
const COUNTED = 40_000;
const client = startClient();

const rates = ({ ours, theirs }) => `${figure(ours.perSecond)}/s against ${figure(theirs.perSecond)}/s`;
const cpu = ({ ours, theirs }) =>
  Number.isNaN(ours.cpuUs)
    ? ''
    : `, CPU of the server ${figure(ours.cpuUs)} against ${figure(theirs.cpuUs)} µs`;

async function trivial() {
  const store = await newStore('embedded');
  const ours = await startService(store.settings);
  const theirs = await startServer(join(HERE, 'server.nest.mjs'));
  // With a key, which the guard checks: a route that is open costs less.
  const request = { method: 'GET', path: '/livez', headers };
  const result = await compare(client, { server: ours, request }, { server: theirs, request });
  await Promise.all([stop(ours), stop(theirs)]);
  await store.end();
  const measured = `${range(result)}; ${rates(result)}${cpu(result)}`;
  row('A trivial route, against stock Nest 12 on Express', result, measured, '≥ 2', result.ratio >= 2);
}

async function threats() {
  const store = await newStore('Redis');
  const ours = await startService(store.settings);
  const theirs = await startServer(join(HERE, 'server.express.mjs'), { REDIS_URL: store.settings.REDIS_URL });
  const body = {
    type: 'prompt_injection',
    source: 'agent:researcher-7',
    severity: 'HIGH',
    description: 'A fetched page told the agent to reveal its keys',
    metadata: { url: 'https://example.org/page' },
  };
  const request = { method: 'POST', path: '/api/threats', headers, body };
  const side = (server) => ({ server, request, status: 201 });
  const result = await compare(client, side(ours), side(theirs));
  await Promise.all([stop(ours), stop(theirs)]);
  await store.end();
  const measured = `${range(result)}; ${rates(result)}${cpu(result)}`;
  row('POST /api/threats on Redis, against bare Express', result, measured, '≥ 0.8', result.ratio >= 0.8);
}

async function filled(kind, count) {
  const store = await newStore(kind);
  const { seconds } = await ask('fill.mjs', ['threats', count], store.settings);
  if (count > FEW) console.log(`  ${count} threats filled into ${kind} in ${figure(seconds)} s`);
  const server = await startService(store.settings);
  const end = async () => {
    await stop(server);
    await store.end();
  };
  return { server, end };
}

async function lists() {
  for (const kind of ['embedded', 'Redis']) {
    const few = await filled(kind, FEW);
    let many;
    for (const [count, query, goal] of [
      [MANY, 'severity=CRITICAL', '≤ 2'],
      [MANY, 'severity=CRITICAL&status=OPEN', ''],
      [COUNTED, 'severity=CRITICAL&status=OPEN', ''],
    ]) {
      if (many?.count !== count) {
        await many?.end();
        many = { count, ...(await filled(kind, count)) };
      }
      const request = { method: 'GET', path: `/api/threats?${query}`, headers };
      const side = ({ server }) => ({ server, request });
      const result = await compare(client, side(few), side(many), { connections: 8, rounds: 5, ms: 1000 });
      const measured = `${range(result)}; ${figure(result.theirs.p50Ms)} ms against ${figure(result.ours.p50Ms)} ms`;
      const what = `${query.replace('&', ' and ')}, ${kind}: ${count} threats against ${FEW}, times`;
      row(what, result, measured, goal, goal === '' ? undefined : result.ratio <= 2);
    }
    await many.end();
    await few.end();
  }
}

async function publish() {
  for (const kind of ['embedded', 'Redis']) {
    const store = await newStore(kind);
    const { stack, full, paced, hung, reference } = await ask('publish.mjs', [], store.settings, [
      '--expose-gc',
    ]);
    await store.end();
    const costs = ({ medianUs, p99Us }) => `${figure(medianUs)} µs, 99 of 100 under ${figure(p99Us)} µs`;
    row(`publish, the caller's stack, ${kind}`, stack, costs(stack), '< 5 µs', stack.medianUs < 5);
    const cost = ({ cpuUs, perSecond }) => `${figure(cpuUs)} µs at ${figure(perSecond)} events/s`;
    const path = { full, paced, reference };
    const times = `${figure(full.cpuUs / reference.cpuUs)} times JSON.stringify of the same event`;
    const both = `${cost(full)}, ${times}; ${cost(paced)} in steps`;
    row(`The whole event path, CPU per event, ${kind}`, path, both, '< 12 µs', full.cpuUs < 12);
    if (kind !== 'embedded') continue;
    const worst = Math.max(hung.filling.medianUs, hung.full.medianUs);
    row('publish while the log hangs', hung.filling, costs(hung.filling), '< 5 µs', worst < 5);
    row('publish while the log hangs, buffer full', hung.full, costs(hung.full), '< 5 µs', worst < 5);
    row('Memory of a full buffer', hung.mib, `${figure(hung.mib)} MiB`, '', undefined);
    const alone = `${figure(reference.cpuUs)} µs for ${reference.bytes} characters`;
    row('JSON.stringify of the same event alone', reference, alone, '', undefined);
  }
}

async function engine() {
  // The service's young generation: how long the collector holds up the event loop depends on it.
  const flags = ['--expose-gc', '--no-turbo-inline-js-wasm-calls', ...SERVICE_FLAGS];
  const { known, fresh, snapshot } = await ask('engine.mjs', [], {}, flags);
  const least = { 10: 2, 100: undefined, 1000: 20, 10000: 60 };
  const against = ({ size, newActions, perSecond }) => {
    const { ours, ...peers } = perSecond;
    const [[name, best], ...others] = Object.entries(peers).sort((a, b) => b[1] - a[1]);
    const ratio = ours / best;
    const rest = others.map(([other, rate]) => `${other} ${figure(rate)}/s`).join(', ');
    const measured = `${figure(ratio)}; ${figure(ours)}/s against ${name} ${figure(best)}/s, ${rest}`;
    const goal = newActions ? 2 : least[size];
    const what = `decide, ${size} rules${newActions ? ', every action new' : ''}, against the best peer`;
    row(what, { ratio, perSecond }, measured, goal ? `≥ ${goal}` : '', goal ? ratio >= goal : undefined);
  };
  known.forEach(against);
  fresh.forEach(against);
  const { wholeMs, mib, changeMs, delaysMs } = snapshot;
  row('Snapshot of 10,000 rules', wholeMs, `${figure(wholeMs)} ms`, '< 300 ms', wholeMs < 300);
  row('Snapshot of 10,000 rules, memory', mib, `${figure(mib)} MiB`, '< 40 MiB', mib < 40);
  row('Snapshot, one policy of ten changed', changeMs, `${figure(changeMs)} ms`, '< 30 ms', changeMs < 30);
  const [shortest, , median, , longest] = delaysMs;
  const delays = `${figure(median)} ms (${figure(shortest)} to ${figure(longest)})`;
  row('Event loop meanwhile, longest delay', delaysMs, delays, '< 20 ms', median < 20);
}

async function footprint() {
  const { seconds, least, most, rss } = await coldStart();
  const measured = `${figure(seconds)} s (${figure(least)} to ${figure(most)})`;
  row('Cold start to /readyz', seconds, measured, '< 1.5 s', seconds < 1.5);
  row('Resident memory after the start', rss, `${figure(rss)} MiB`, '< 150 MiB', rss < 150);
  const mib = productionDependencies();
  row('Production dependencies on disk', mib, `${figure(mib)} MiB`, '< 120 MiB', mib < 120);
}

const ALL = {
  trivial,
  threats,
  lists,
  publish,
  stream: () => stream(client, MANY),
  engine,
  decisions: () => decisions(client),
  missions,
  footprint,
};
const wanted = process.argv.slice(2).filter((arg) => arg !== '--full');
const unknown = wanted.filter((name) => !Object.hasOwn(ALL, name));
if (unknown.length > 0) {
  console.error(`${unknown.join(', ')}: no such benchmark; there are ${Object.keys(ALL).join(', ')}`);
  process.exit(64);
}

execFileSync(process.execPath, ['scripts/build-if-needed.mjs'], { cwd: ROOT, stdio: 'inherit' });
console.log(`Node ${process.version}, ${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}`);
for (const [name, benchmark] of Object.entries(ALL)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(name);
  await benchmark();
}
print();
save();
process.exit(0);
