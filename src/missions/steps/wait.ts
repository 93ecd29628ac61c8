/** Waits. The end of the wait is stored in the mission: it survives a restart and occupies no worker. */
import { paramFaults, type StepKind } from './step.js';

const MAX_SECONDS = 30 * 86_400;

export const waitStep: StepKind = {
  faults: (params, form) =>
    paramFaults(params, form, {
      seconds: {
        required: true,
        what: `a number of seconds from 0 up to ${MAX_SECONDS}`,
        allows: (value) => typeof value === 'number' && value >= 0 && value <= MAX_SECONDS,
      },
    }),
  delaySeconds: ({ seconds }) => seconds as number,
  run: async ({ seconds }) => ({ waited_seconds: seconds }),
};
