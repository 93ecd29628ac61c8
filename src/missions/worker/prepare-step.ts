/** Prepares a step to run: finds its kind, and fills its parameters with values of the mission. */
import type { Store } from '../../storage/store.js';
import { MISSION_RESULTS, resultId, type StoredMission } from '../missions.collection.js';
import type { Kinds } from '../steps/kinds.js';
import type { Step } from '../steps/step.dto.js';
import { StepFailure, type StepKind } from '../steps/step.js';
import { filled, newBudget, stepsNamed, type Values } from '../steps/templates.js';

export interface PreparedStep {
  step: Step;
  kind: StepKind;
  params: Record<string, unknown>;
  resource: string | undefined;
}

const MAX_RESOURCE = 1024;

/** Throws a `StepFailure` or a `MissingValue` if the step cannot run, and a `BrainError` if the store fails. */
export async function prepareStep(
  store: Store,
  kinds: Kinds,
  mission: StoredMission,
  step: Step,
): Promise<PreparedStep> {
  const kind = kinds.get(step.kind);
  if (!kind) {
    const known = [...kinds.keys()].join(', ');
    const detail = `this release has no step kind '${step.kind}'; it has ${known}`;
    throw new StepFailure('unknown_kind', detail, true);
  }
  const values = await valuesOf(store, mission, stepsNamed([step.params, step.resource]));
  const budget = newBudget();
  const fill = ([name, value]: [string, unknown]): [string, unknown] => [
    name,
    filled(value, values, { budget, isUrl: kind.urls?.includes(name) }),
  ];
  const given = Object.fromEntries(Object.entries(step.params ?? {}).map(fill));
  const resource = filled(step.resource, values, { budget });
  const [fault] = kind.faults(given, 'filled');
  if (fault) throw new StepFailure('invalid_params', `params${fault.pointer} ${fault.detail}`, true);
  const params = kind.normalized?.(given, 'filled') ?? given;
  if (resource === undefined || isResource(resource)) return { step, kind, params, resource };
  const detail = `resource must be text of 1 to ${MAX_RESOURCE} characters once its templates are filled`;
  throw new StepFailure('invalid_resource', detail, true);
}

/** Loads only the results of the `named` steps, because all results together may be large. */
async function valuesOf(
  store: Store,
  { id, data, outcomes }: StoredMission,
  named: ReadonlySet<string>,
): Promise<Values> {
  const steps: [string, { result: unknown }][] = [];
  for (const [name, { result, bytes }] of Object.entries(outcomes)) {
    if (!named.has(name)) continue;
    if (bytes === undefined) {
      steps.push([name, { result }]);
      continue;
    }
    const large = await store.get(MISSION_RESULTS, resultId(id, name));
    if (!large) {
      const detail = `the result of the step ${name} is not stored any more; create the mission again`;
      throw new StepFailure('result_missing', detail, true);
    }
    steps.push([name, { result: large.result }]);
  }
  return { data, steps: Object.fromEntries(steps) };
}

function isResource(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_RESOURCE;
}
