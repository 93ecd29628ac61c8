import { Controller, Get, Inject, Optional } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';
import { CONFIG, type Config } from '../config/config.js';
import { LogTrimmer } from '../events/trimmer.js';
import { Public } from '../security/access.decorator.js';
import { BrainError } from '../shared/errors.js';
import { Described, OneOf } from '../shared/fields.js';
import { ShutdownState } from '../shared/shutdown-state.js';
import { Store } from '../storage/store.js';
import { Problems } from './request.js';

@Described('A process that is alive')
class LiveAnswer {
  @OneOf(['alive'] as const, { name: 'Liveness', description: 'Always alive', example: 'alive' })
  status!: 'alive';
}

@Described('A replica that is ready')
class ReadyAnswer {
  @OneOf(['ready'] as const, {
    name: 'Readiness',
    description: 'Always ready; a replica that is not ready answers a problem',
    example: 'ready',
  })
  status!: 'ready';

  @OneOf(['embedded', 'redis'] as const, {
    name: 'StoreKind',
    description: 'The backend of the store',
    example: 'embedded',
  })
  store!: 'embedded' | 'redis';

  @ApiProperty({
    type: String,
    isArray: true,
    description: 'What works but needs attention',
    example: [],
  })
  warnings!: string[];
}

@ApiTags('health')
@Controller()
export class HealthController {
  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) private readonly config: Config,
    private readonly draining: ShutdownState,
    @Optional() @Inject(LogTrimmer) private readonly trimmer?: LogTrimmer,
  ) {}

  @Get('livez')
  @Public()
  @ApiOperation({
    summary: 'Whether the process is alive',
    description: 'Does not check the store. Restart the process if this does not answer.',
  })
  @ApiOkResponse({ type: LiveAnswer, description: 'The process is alive' })
  live(): LiveAnswer {
    return { status: 'alive' };
  }

  @Get('readyz')
  @Public()
  @ApiOperation({
    summary: 'Whether this replica should get requests',
    description:
      'A 503 names the part that is not ready. While Redis is away for less than the grace time the replica is ready, with a warning.',
  })
  @ApiOkResponse({ type: ReadyAnswer, description: 'The replica is ready' })
  @Problems(503)
  async ready(): Promise<ReadyAnswer> {
    if (this.draining.active) {
      throw new BrainError(
        'unavailable',
        'draining',
        'This replica is shutting down; send requests to another one.',
      );
    }
    const { ok, refusesWrites, code, detail, warnings: ofStore } = await this.store.health();
    const warnings = [...ofStore, ...(this.trimmer?.warnings() ?? [])];
    if (ok) return { status: 'ready', store: this.store.kind, warnings };
    const state = refusesWrites ? 'takes no writes' : 'is not ready';
    const what = `The store ${state} (${code ?? 'store_unreachable'}): ${detail ?? 'it does not answer. Check its address and the log of the service.'}`;
    // Decisions and key checks use memory for the grace time; after it this replica cannot answer.
    const awaySeconds = (performance.now() - this.store.watchedUntilMs()) / 1000;
    if (!refusesWrites && awaySeconds < this.config.maxStaleSeconds) {
      return { status: 'ready', store: this.store.kind, warnings: [what, ...warnings] };
    }
    throw new BrainError('unavailable', code ?? 'store_unreachable', what);
  }
}
