/** A numbered event without a transaction, as a decision publishes it. */
import { defineEvent } from '../../src/events/event.js';
import { Num, Text } from '../../src/shared/fields.js';
import type { Received } from './sse-client.js';

class Tick {
  @Text({ max: 64 })
  agent_id!: string;

  @Num()
  n!: number;

  @Text({ max: 1_000_000 })
  padding!: string;
}

export const tick = defineEvent({
  type: 'test.tick',
  module: 'test',
  payload: Tick,
  subjects: ['agent_id'],
  priority: 'LOW',
  decision: true,
  when: 'In the tests.',
  example: { agent_id: 'agent-1', n: 1, padding: '' },
  consumers: [],
  of: (n: number, agent: string, padding: string): Tick => ({ agent_id: agent, n, padding }),
});

/** The numbers of the ticks among these events, in the order in which they came; of one agent where it is named. */
export function numbersOf(events: Pick<Received, 'event' | 'data'>[], agent?: string): number[] {
  return events
    .filter(({ event }) => event === 'test.tick')
    .map(({ data }) => data.payload as Tick)
    .filter(({ agent_id }) => agent === undefined || agent_id === agent)
    .map(({ n }) => n);
}

export const count = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);
