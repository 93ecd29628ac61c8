/** Decisions over HTTP, among a thousand rules, with key check, validation and events: what a client of the service gets. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compare } from './compare.mjs';
import { newRandom, requestsFor, rulesFor } from './engine.rules.mjs';
import { HERE, headers, newStore, startServer, startService, stop, temporaryFolder } from './processes.mjs';
import { figure, range, row } from './table.mjs';

const RULES = 1000;
const BATCH = 100;

function policies() {
  const random = newRandom(7);
  const rules = rulesFor(RULES, random);
  const policy = { policy_id: 'bench', name: 'Bench', default_effect: 'deny', rules };
  const [single, ...many] = requestsFor(rules, BATCH + 1, random, { newActions: false });
  return { body: { policies: [policy] }, single, many: many.slice(0, BATCH) };
}

async function started(settings, body) {
  const service = await startService(settings);
  const answer = await fetch(`${service.url}/api/policy/import`, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (answer.status !== 200) throw new Error(await answer.text());
  return service;
}

export async function decisions(client) {
  const { body, single, many } = policies();
  const file = join(temporaryFolder(), 'policies.json');
  const content = body.policies.map((policy) => ({
    version: '1.0.0',
    description: '',
    enabled: true,
    metadata: {},
    ...policy,
  }));
  writeFileSync(file, JSON.stringify({ policies: content }));
  const [embedded, redis] = [await newStore('embedded'), await newStore('Redis', { durable: true })];
  const silent = await started({ ...embedded.settings, BRAIN_EVENTS: 'off' }, body);
  const told = await started(redis.settings, body);
  const one = { method: 'POST', path: '/api/policy/evaluate', headers, body: single };
  const batch = { method: 'POST', path: '/api/policy/evaluate/batch', headers, body: { evaluations: many } };
  const asked = await fetch(`${told.url}${one.path}`, {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json' },
    body: JSON.stringify(single),
  });
  const bare = await startServer(join(HERE, 'server.bare.mjs'), { ANSWER: await asked.text() });
  const nest = await startServer(join(HERE, 'server.nest-decisions.mjs'), { POLICIES: file });

  const rates = ({ ours, theirs }, times = 1) =>
    `${figure(ours.perSecond * times)}/s against ${figure(theirs.perSecond)}/s`;
  const against = async (what, ours, theirs, goal, times = 1) => {
    const result = await compare(client, ours, theirs);
    const scaled = { ratio: result.ratio * times, least: result.least * times, most: result.most * times };
    row(what, scaled, `${range(scaled)}; ${rates(result, times)}`, `≥ ${goal}`, scaled.ratio >= goal);
  };
  const of = (server, request) => ({ server, request });
  await against('A decision with events, against bare node:http', of(told, one), of(bare, one), 0.3);
  await against('A decision with events, against stock Nest', of(told, one), of(nest, one), 3);
  await against(
    'A decision with events on Redis (AOF), against one without',
    of(told, one),
    of(silent, one),
    0.8,
  );
  await against(
    'Decisions in batches of 100, without events, against single ones',
    of(silent, batch),
    of(silent, one),
    20,
    BATCH,
  );
  await against('The same with events on Redis', of(told, batch), of(told, one), 5, BATCH);
  await Promise.all([silent, told, bare, nest].map(stop));
  await Promise.all([embedded.end(), redis.end()]);
}
