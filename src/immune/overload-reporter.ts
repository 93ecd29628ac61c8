/** Reports an overload of this replica as an immune event, once for each episode. */
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { messageOf } from '../shared/errors.js';
import { EventLoopWatch } from '../shared/event-loop-watch.js';
import { Logger } from '../shared/logger.js';
import { ImmuneService } from './immune.service.js';

@Injectable()
export class OverloadReporter implements OnModuleInit {
  constructor(
    private readonly watch: EventLoopWatch,
    private readonly immune: ImmuneService,
    private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.watch.onOverload((delayMs) => void this.report(Math.round(delayMs)));
  }

  private async report(event_loop_delay_ms: number): Promise<void> {
    try {
      await this.immune.report({
        severity: 'WARNING',
        type: 'PERFORMANCE_DEGRADATION',
        module: 'brain',
        message: `A replica is overloaded: for five seconds its event loop was late by up to ${event_loop_delay_ms} ms. It refuses heavy requests until it has recovered.`,
        meta: { event_loop_delay_ms },
      });
    } catch (error) {
      this.logger.warn('the overload could not be reported as an immune event', { reason: messageOf(error) });
    }
  }
}
