import { Described, Flag, JsonObject, Nested, Num, OneOf, Text } from '../../shared/fields.js';

export const STEP_KINDS = ['http', 'wait', 'immune_event'] as const;
export type StepKindName = (typeof STEP_KINDS)[number];

const NAME = /^[A-Za-z0-9_-]+$/;
const NAME_HINT = 'letters, digits, _ and -';

@Described('How a failed step is tried again')
export class StepRetry {
  @Num({
    integer: true,
    min: 1,
    max: 20,
    optional: true,
    default: 3,
    description: 'The number of attempts, the first one included',
  })
  attempts?: number;

  @Num({
    min: 0,
    max: 3600,
    optional: true,
    default: 1,
    description:
      'The longest pause before the second attempt, in seconds; it doubles with each further attempt, and at least half of it is waited',
  })
  backoff_seconds?: number;

  @Num({
    min: 0,
    max: 86_400,
    optional: true,
    default: 300,
    description: 'The upper limit of a pause, in seconds',
  })
  max_seconds?: number;
}

@Described('One step of a mission')
export class Step {
  @Text({
    max: 64,
    pattern: NAME,
    patternHint: NAME_HINT,
    description: 'The name of the step, unique in its mission',
    example: 'notify',
  })
  name!: string;

  @OneOf(STEP_KINDS, { name: 'StepKind', description: 'What the step does', example: 'http' })
  kind!: StepKindName;

  @Text({
    max: 256,
    optional: true,
    description:
      'An action that the policies decide about, besides `mission.step.<kind>`; both must be allowed',
    example: 'webhook.call',
  })
  action?: string;

  @Text({
    max: 1024,
    optional: true,
    description: 'The resource that the policies decide about; may contain templates',
    example: 'https://example.org',
  })
  resource?: string;

  @JsonObject({
    optional: true,
    description:
      // biome-ignore lint/suspicious/noTemplateCurlyInString: such templates are what it describes.
      'The parameters of the kind. A URL is stored in its normalized form. Templates insert values: `${data.<path>}` of the mission, `${steps.<name>.result.<path>}` of an earlier step',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the example has such a template.
    example: { method: 'POST', url: 'https://example.org/hook', body: { mission: '${data.ticket}' } },
  })
  params?: Record<string, unknown>;

  @Num({
    min: 0.1,
    max: 3600,
    optional: true,
    default: 60,
    description: 'The time limit of one attempt, in seconds',
  })
  timeout_seconds?: number;

  @Nested(() => StepRetry, { optional: true, description: 'How a failed step is tried again' })
  retry?: StepRetry;

  @Flag({
    optional: true,
    default: false,
    description:
      'Continue with the next step if this one fails; a denial by the policies still fails the mission',
  })
  continue_on_failure?: boolean;
}
