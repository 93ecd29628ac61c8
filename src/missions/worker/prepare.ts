/** What a step is run with: its kind, and its parameters with the values that they take from the mission. */
import type { Store } from '../../storage/store.js';
import { MISSION_RESULTS, resultId, type StoredMission } from '../missions.collection.js';
import type { Step } from '../missions.dto.js';
import type { Kinds } from '../steps/kinds.js';
import { StepFailure, type StepKind } from '../steps/step.js';
import { filled, stepsNamed, type Values } from '../steps/templates.js';

export interface PrepareTools {
  store: Store;
  kinds: Kinds;
}

export interface Ready {
  step: Step;
  kind: StepKind;
  params: Record<string, unknown>;
  resource: string | undefined;
}

const MAX_RESOURCE = 1024;

export async function prepared(tools: PrepareTools, mission: StoredMission, step: Step): Promise<Ready> {
  const kind = tools.kinds.get(step.kind);
  if (!kind)
    throw new StepFailure('unknown_kind', `there is no kind of step '${step.kind}' in this release`, true);
  const written = [step.params ?? {}, step.resource];
  const values = await valuesOf(tools.store, mission, stepsNamed(written));
  const [params, resource] = filled(written, values) as [Record<string, unknown>, unknown];
  const [fault] = kind.faults(params, 'filled');
  if (fault) throw new StepFailure('invalid_params', `params${fault.pointer} ${fault.detail}`, true);
  if (resource === undefined || isResource(resource)) return { step, kind, params, resource };
  const detail = `resource must be text of 1 to ${MAX_RESOURCE} characters`;
  throw new StepFailure('invalid_resource', detail, true);
}

/** Only the results of `named` steps: together they may be large. */
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
    if (!large) throw new StepFailure('result_missing', `the result of ${name} is not there any more`, true);
    steps.push([name, { result: large.result }]);
  }
  return { data, steps: Object.fromEntries(steps) };
}

function isResource(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_RESOURCE;
}
