/** What all clients of a crowd have in common. */
import { atMost, sleep } from '../../src/shared/clock.js';
import type { Member } from './member.js';
import type { Recorder } from './recorder.js';

/** No client waits longer before its next step: a stopped or missing process must not delay the others. */
const PATIENCE_MS = 700;
const BRIEF_MS = 100;

export abstract class Client {
  constructor(
    protected readonly members: readonly Member[],
    protected readonly recorder: Recorder,
  ) {}

  /** How long it rests between two steps. */
  protected abstract readonly pauseMs: number;

  protected abstract step(): Promise<unknown>;

  /** The most steps, so that a test that waits for something else ends. */
  async run(goesOn: () => boolean, steps: number): Promise<void> {
    for (let i = 0; i < steps && goesOn(); i += 1) {
      await this.step();
      await sleep(this.pauseMs);
    }
  }

  protected anyMember(): Member {
    return pick(this.members);
  }

  /** Another one, where there is one. */
  protected besides(member: Member): Member {
    return pick(this.members.filter((one) => one !== member)) ?? member;
  }

  /** Waits for answers, but not for ever; those that come later are recorded as well. */
  protected patiently(...work: Promise<unknown>[]): Promise<void> {
    return atMost(PATIENCE_MS, Promise.all(work));
  }

  /** The same for who asks all the time: an answer that waits for something must not hide what others would be told. */
  protected briefly(work: Promise<unknown>): Promise<void> {
    return atMost(BRIEF_MS, work);
  }
}

export function pick<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)];
}

export const chance = (share: number): boolean => Math.random() < share;
