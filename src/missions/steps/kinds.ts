/**
 * The kinds of steps. A new kind is a file in this folder and an entry in `kindsOf`, with an option for each dependency. Its
 * name is also in `STEP_KINDS` (step.dto.ts) and in docs/missions.md.
 */
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../../config/config.js';
import { ImmuneService } from '../../immune/immune.service.js';
import { MISSIONS_SETTINGS } from '../missions.settings.js';
import { AllowedHosts } from './allowed-hosts.js';
import { httpStep } from './http.js';
import { immuneEventStep } from './immune-event.js';
import type { StepKindName } from './step.dto.js';
import type { StepKind } from './step.js';
import { waitStep } from './wait.js';

interface KindOptions {
  immune: Pick<ImmuneService, 'report'>;
  /** Requests may go to private addresses. */
  allowPrivate: boolean;
  /** The hosts to which requests may go. */
  hosts: AllowedHosts;
}

export type Kinds = ReadonlyMap<string, StepKind>;

export function kindsOf({ immune, allowPrivate, hosts }: KindOptions): Kinds {
  const kinds: Record<StepKindName, StepKind> = {
    http: httpStep({ hosts, ...(allowPrivate && { refuses: () => false }) }),
    wait: waitStep,
    immune_event: immuneEventStep(immune),
  };
  return new Map(Object.entries(kinds));
}

@Injectable()
export class StepKinds {
  readonly byName: Kinds;

  constructor(immune: ImmuneService, @Inject(CONFIG) config: Config) {
    const settings = settingsIn(config, MISSIONS_SETTINGS);
    const { BRAIN_HTTP_ALLOW_PRIVATE: allowPrivate, BRAIN_HTTP_ALLOW_HOSTS: hosts } = settings;
    this.byName = kindsOf({ immune, allowPrivate, hosts: hosts ?? AllowedHosts.all });
  }
}
