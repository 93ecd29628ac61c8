/** Decisions over HTTP, among a thousand rules, with key check, validation and events. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compare } from './compare.mjs';
import { newRandom, requestsFor, rulesFor } from './engine.rules.mjs';
import {
  HERE,
  headers,
  newStore,
  onCoresOfTheirOwn,
  startServer,
  startService,
  stop,
  temporaryFolder,
} from './processes.mjs';
import { figure, range, row } from './table.mjs';

const RULES = 1000;
const BATCH = 100;

function rulesAndRequests() {
  const random = newRandom(7);
  const rules = rulesFor(RULES, random);
  const policy = { policy_id: 'bench', name: 'Bench', default_effect: 'deny', rules };
  return { policies: [policy], requests: requestsFor(rules, BATCH, random, { newActions: false }) };
}

/** A service with these policies on a store of its own. */
async function service(kind, settings, policies) {
  const store = await newStore(kind, { durable: true });
  const server = await startService({ ...store.settings, ...settings });
  const answer = await post(server, '/api/policy/import', { policies });
  if (answer.status !== 200) throw new Error(await answer.text());
  return { server, store };
}

function post(server, path, body) {
  const sent = { ...headers, 'Content-Type': 'application/json' };
  return fetch(server.url + path, { method: 'POST', headers: sent, body: JSON.stringify(body) });
}

export async function decisions(client) {
  const { policies, requests } = rulesAndRequests();
  const file = join(temporaryFolder(), 'policies.json');
  const rest = { version: '1.0.0', description: '', enabled: true, metadata: {} };
  writeFileSync(file, JSON.stringify({ policies: policies.map((policy) => ({ ...rest, ...policy })) }));
  const one = { method: 'POST', path: '/api/policy/evaluate', headers, bodies: requests };
  const together = { evaluations: requests };
  const batch = { method: 'POST', path: '/api/policy/evaluate/batch', headers, body: together };

  const withEvents = () => service('Redis', {}, policies);
  const withoutEvents = () => service('embedded', { BRAIN_EVENTS: 'off' }, policies);
  const sample = await withoutEvents();
  const answered = async ({ path }, body) => (await post(sample.server, path, body)).text();
  const bareWith = (ASKED, ANSWER) => async () => ({
    server: await startServer(join(HERE, 'server.bare.mjs'), { ASKED, ANSWER }),
  });
  const bare = bareWith('agent_id', await answered(one, requests[0]));
  const bareBatch = bareWith('evaluations', await answered(batch, together));
  await end(sample);
  const nest = async () => ({
    server: await startServer(join(HERE, 'server.nest-decisions.mjs'), { POLICIES: file }),
  });

  /** Only these two run while they are compared. */
  const against = async (what, ours, theirs, { goal, times = 1 }) => {
    const first = await ours.start();
    const second = theirs.start === ours.start ? first : await theirs.start();
    const started = [...new Set([first, second])];
    const alone = onCoresOfTheirOwn({
      servers: started.map(({ server }) => server),
      stores: started.flatMap(({ store }) => store?.redis ?? []),
      client,
    });
    if (!alone)
      console.log('  (all processes share the cores: separate ones need taskset, chrt and two cores)');
    const sides = [
      { ...first, request: ours.request },
      { ...second, request: theirs.request },
    ];
    const result = await compare(client, ...sides);
    for (const one of started) await end(one);
    const scaled = { ratio: result.ratio * times, least: result.least * times, most: result.most * times };
    const rates = `${figure(result.ours.perSecond * times)}/s against ${figure(result.theirs.perSecond)}/s`;
    row(what, scaled, `${range(scaled)}; ${rates}`, goal ? `≥ ${goal}` : '', goal && scaled.ratio >= goal);
  };
  const of = (start, request) => ({ start, request });
  const single = 'A decision with events';
  await against(`${single}, against bare node:http`, of(withEvents, one), of(bare, one), { goal: 0.3 });
  await against(`${single}, against stock Nest`, of(withEvents, one), of(nest, one), { goal: 3 });
  await against(`${single} on Redis (AOF), against without`, of(withEvents, one), of(withoutEvents, one), {
    goal: 0.8,
  });
  const hundred = 'Decisions in batches of 100';
  const times = BATCH;
  await against(`${hundred} with events, against single ones`, of(withEvents, batch), of(withEvents, one), {
    goal: 5,
    times,
  });
  await against(`${hundred} without, against single ones`, of(withoutEvents, batch), of(withoutEvents, one), {
    goal: 20,
    times,
  });
  await against(
    'Bare node:http with such batches, against single ones',
    of(bareBatch, batch),
    of(withoutEvents, one),
    {
      times,
    },
  );
  await against(
    `${hundred} without events, against bare node:http`,
    of(withoutEvents, batch),
    of(bareBatch, batch),
    {},
  );
}

async function end({ server, store }) {
  await stop(server);
  await store?.end();
}
