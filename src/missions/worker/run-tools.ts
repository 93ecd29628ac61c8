import { Inject, Injectable, Optional } from '@nestjs/common';
import { EventStream } from '../../events/event-stream.js';
import { Logger } from '../../shared/logger.js';
import { Store } from '../../storage/store.js';
import { StepKinds } from '../steps/kinds.js';
import { StepAuthorizer } from './authorize-step.js';

/** What every run of this replica uses. */
@Injectable()
export class RunTools {
  constructor(
    @Inject(Store) readonly store: Store,
    readonly kinds: StepKinds,
    readonly authorizer: StepAuthorizer,
    readonly logger: Logger,
    @Optional() @Inject(EventStream) readonly events?: EventStream,
  ) {}
}
