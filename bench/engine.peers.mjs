/** The same rules in the language of each peer, and how each decides a request. */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Precedence as CASL has it: the later rule wins. */
async function casl(rules) {
  const { AbilityBuilder, createMongoAbility } = await import('@casl/ability');
  const { can, cannot, build } = new AbilityBuilder(createMongoAbility);
  const query = ({ operator, value }) =>
    ({
      '==': { $eq: value },
      in: { $in: value },
      '>': { $gt: value },
      '<=': { $lte: value },
      starts_with: { $regex: new RegExp(`^${value}`) },
      matches: { $regex: new RegExp(`^(?:${value})`) },
    })[operator];
  for (const { effect, conditions } of [...rules].sort((a, b) => a.priority - b.priority)) {
    const named = conditions.find(({ field, operator }) => field === 'action' && operator !== 'matches');
    const others = conditions.filter((one) => one !== named);
    const say = effect === 'deny' ? cannot : can;
    say(
      named?.value ?? 'manage',
      'Request',
      Object.fromEntries(others.map((one) => [one.field, query(one)])),
    );
  }
  const ability = build({ detectSubjectType: () => 'Request' });
  return (request) => ability.can(request.action, request);
}

const MODEL = `
[request_definition]
r = req

[policy_definition]
p = rule, eft

[policy_effect]
e = priority(p.eft) || deny

[matchers]
m = eval(p.rule)
`;

async function casbin(rules) {
  const { newEnforcer, newModelFromString } = require('casbin');
  const text = ({ field, operator, value }) => {
    const name = `r.req.${field}`;
    const quoted = typeof value === 'string' ? `"${value.replaceAll('\\', '\\\\')}"` : value;
    if (operator === 'in') return `(${value.map((one) => `${name} == "${one}"`).join(' || ')})`;
    if (operator === 'starts_with') return `regexMatch(${name}, "^${value}")`;
    if (operator === 'matches') return `regexMatch(${name}, "^${value.replaceAll('\\', '\\\\')}")`;
    return `${name} ${operator} ${quoted}`;
  };
  const enforcer = await newEnforcer(newModelFromString(MODEL));
  const inOrder = [...rules].sort((a, b) => b.priority - a.priority);
  await enforcer.addPolicies(
    inOrder.map(({ conditions, effect }) => [conditions.map(text).join(' && '), effect]),
  );
  return (request) => enforcer.enforceSync(request);
}

async function cedar(rules) {
  const { preparsePolicySet, statefulIsAuthorized } = require('@cedar-policy/cedar-wasm/nodejs');
  const text = ({ field, operator, value }) => {
    if (field === 'action' && operator === '==') return undefined;
    const name = `context.${field}`;
    const literal = JSON.stringify(value);
    if (operator === 'in') return `${literal}.contains(${name})`;
    if (operator === 'starts_with') return `${name} like "${value}*"`;
    if (operator === 'matches') return `${name} like "${value.replace('\\.', '.').replace('.*', '*')}"`;
    return `${name} ${operator} ${literal}`;
  };
  const policies = rules.map(({ effect, conditions }) => {
    const action = conditions.find(({ field, operator }) => field === 'action' && operator === '==');
    const scope = action ? `action == Action::${JSON.stringify(action.value)}` : 'action';
    const when = conditions.map(text).filter(Boolean).join(' && ');
    return `${effect === 'deny' ? 'forbid' : 'permit'} (principal, ${scope}, resource) when { ${when} };`;
  });
  const id = `rules${rules.length}`;
  const parsed = preparsePolicySet(id, { staticPolicies: policies.join('\n') });
  if (parsed.type !== 'success') throw new Error(JSON.stringify(parsed.errors[0]));
  return (request) => {
    const answer = statefulIsAuthorized({
      principal: { type: 'Agent', id: request.agent_id },
      action: { type: 'Action', id: request.action },
      resource: { type: 'Resource', id: request.resource },
      context: {
        agent_role: request.agent_role,
        action: request.action,
        resource: request.resource,
        environment: request.environment,
        // Cedar has whole numbers only.
        params: { ...request.params, amount: Math.ceil(request.params.amount) },
      },
      preparsedPolicySetId: id,
      entities: [],
    });
    if (answer.type !== 'success') throw new Error(JSON.stringify(answer.errors[0]));
    return answer.response.decision === 'allow';
  };
}

async function jsonRules(rules) {
  const { Engine } = await import('json-rules-engine');
  const engine = new Engine([], { allowUndefinedFacts: true });
  const names = { '==': 'equal', in: 'in', '>': 'greaterThan', '<=': 'lessThanInclusive' };
  engine.addOperator('startsWith', (actual, start) => actual.startsWith(start));
  const patterns = new Map();
  engine.addOperator('matches', (actual, source) => {
    const pattern = patterns.get(source) ?? new RegExp(`^(?:${source})`);
    patterns.set(source, pattern);
    return pattern.test(actual);
  });
  for (const { effect, priority, conditions } of rules) {
    const all = conditions.map(({ field, operator, value }) => {
      const [fact, key] = field.split('.');
      const name = names[operator] ?? (operator === 'starts_with' ? 'startsWith' : 'matches');
      return { fact, ...(key && { path: `$.${key}` }), operator: name, value };
    });
    engine.addRule({ conditions: { all }, event: { type: effect }, priority });
  }
  let decided;
  engine.on('success', ({ type }) => {
    decided ??= type;
    engine.stop();
  });
  return async (request) => {
    decided = undefined;
    await engine.run(request);
    return decided === 'allow';
  };
}

/**
 * Its expressions know no beginnings of texts and no patterns, so whoever asks takes the beginnings out of the request, as far
 * as the rules look: `mail/5` of a resource, `mail.op5` of an action.
 */
async function agentGovernance(rules) {
  const { ConflictResolutionStrategy, PolicyEngine } = require('@microsoft/agent-governance-sdk');
  const text = ({ field, operator, value }) => {
    if (operator === 'in') return `${field} in [${value.map((one) => `'${one}'`).join(', ')}]`;
    if (operator === 'starts_with') return `resource_start == '${value}'`;
    if (operator === 'matches') return `action_start == '${value.replace('\\.', '.').replace('.*', '')}'`;
    return `${field} ${operator} ${typeof value === 'string' ? `'${value}'` : value}`;
  };
  const engine = new PolicyEngine([], ConflictResolutionStrategy.PriorityFirstMatch);
  engine.loadPolicy({
    name: 'rules',
    default_action: 'deny',
    rules: rules.map(({ rule_id, effect, priority, conditions }) => ({
      name: rule_id,
      condition: conditions.map(text).join(' and '),
      ruleAction: effect,
      priority,
    })),
  });
  return (request) => {
    const { agent_id, action, resource } = request;
    const action_start = action.slice(0, action.search(/\d/) + 1);
    const resource_start = resource.slice(0, resource.lastIndexOf('/'));
    return engine.evaluatePolicy(agent_id, { ...request, action_start, resource_start }).allowed;
  };
}

export const PEERS = {
  CASL: casl,
  'node-casbin': casbin,
  Cedar: cedar,
  'json-rules-engine': jsonRules,
  'agent-governance-sdk': agentGovernance,
};
