/**
 * Rules and requests for the engine and its peers. The rules use only what all of them understand, and every deny has a
 * higher priority than every allow, since some know no other order. Nothing repeats in the requests but actions and roles,
 * whose vocabulary grows with the rules.
 */

/** Small and the same every time (mulberry32). */
export function newRandom(seed) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { next, below: (n) => Math.floor(next() * n), of: (list) => list[Math.floor(next() * list.length)] };
}

const FAMILIES = ['deploy', 'database', 'file', 'mail', 'model', 'user', 'payment', 'report'];
const STAGES = ['development', 'test', 'staging', 'production'];

function vocabulary(size) {
  const actions = Array.from({ length: Math.max(6, size / 10) }, (_, i) => `${FAMILIES[i % 8]}.op${i}`);
  const roles = Array.from({ length: Math.max(3, size / 100) }, (_, i) => `role${i}`);
  return { actions, roles };
}

const is = (field, operator, value) => ({ field, operator, value });

function lastCondition(effect, random) {
  switch (random.below(4)) {
    case 0:
      return is('params.amount', effect === 'deny' ? '>' : '<=', random.below(1000));
    case 1:
      return is('environment.stage', '==', random.of(STAGES));
    case 2:
      return is('resource', 'starts_with', `${random.of(FAMILIES)}/${random.below(10)}`);
    default:
      return is('environment.region', 'in', [`eu${random.below(5)}`, `us${random.below(5)}`]);
  }
}

function conditionsFor(effect, { actions, roles }, random) {
  const kind = random.below(10);
  const action = is('action', '==', random.of(actions));
  const role = is('agent_role', '==', random.of(roles));
  const pattern = is('action', 'matches', `${random.of(FAMILIES)}\\.op${random.below(10)}.*`);
  if (kind < 6) return [action, role, lastCondition(effect, random)];
  if (kind === 6) return [action, lastCondition(effect, random)];
  if (kind === 7) return [role, pattern, lastCondition(effect, random)];
  if (kind === 8)
    return [role, is('params.kind', '==', `kind${random.below(200)}`), lastCondition(effect, random)];
  return [role, is('action', 'in', [random.of(actions), random.of(actions)]), lastCondition(effect, random)];
}

export function rulesFor(size, random) {
  const words = vocabulary(size);
  return Array.from({ length: size }, (_, i) => {
    const effect = random.next() < 0.25 ? 'deny' : 'allow';
    return {
      rule_id: `r${i}`,
      name: `Rule ${i}`,
      description: '',
      effect,
      conditions: conditionsFor(effect, words, random),
      priority: effect === 'deny' ? 100 : 10,
      enabled: true,
      metadata: {},
    };
  });
}

let serial = 0;

export function requestsFor(rules, count, random, { newActions }) {
  const { actions, roles } = vocabulary(rules.length);
  return Array.from({ length: count }, () => {
    serial += 1;
    const action = random.of(actions);
    return {
      agent_id: `agent-${serial}`,
      agent_role: random.of(roles),
      action: newActions ? `${action}.${serial}` : action,
      resource: `${random.of(FAMILIES)}/${random.below(10)}/${serial}`,
      environment: { stage: random.of(STAGES), region: `eu${random.below(5)}`, trace: `t${serial}` },
      params: {
        amount: random.below(1000) + serial / 1e9,
        kind: `kind${random.below(200)}`,
        note: `n${serial}`,
      },
    };
  });
}
