/** The kinds of steps: a new kind is a file and one line here. */
import type { ImmuneService } from '../../immune/immune.service.js';
import { httpStep } from './http.js';
import { immuneEventStep } from './immune-event.js';
import type { StepKind } from './step.js';
import { waitStep } from './wait.js';

export interface KindOptions {
  immune: Pick<ImmuneService, 'report'>;
  /** Requests may go to private addresses. */
  allowPrivate: boolean;
}

export type Kinds = ReadonlyMap<string, StepKind>;

export function kindsOf({ immune, allowPrivate }: KindOptions): Kinds {
  return new Map<string, StepKind>([
    ['http', allowPrivate ? httpStep(() => false) : httpStep()],
    ['wait', waitStep],
    ['immune_event', immuneEventStep(immune)],
  ]);
}
