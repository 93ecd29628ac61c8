/** Clients that change policies, each those of its own, and clients that ask for decisions by all of them. */
import type { Decision } from '../../src/policy/decisions/routes.dto.js';
import { sleep } from '../../src/shared/clock.js';
import { Client, chance, pick } from './client.js';
import { type Content, type Decide, isDone, type Write } from './history.js';
import type { Member } from './member.js';
import type { Answer, Recorder } from './recorder.js';

const BASE = '/api/policy/policies';
const WRITE_MS = 60;
const DECIDE_MS = 15;
/** A client retries after Retry-After, but sooner than asked. */
const AGAIN_MS = 60;
const ATTEMPTS = 3;

/** Says by which of the writes it was made, and what it decides. */
const contentOf = (n: number): string => `${n % 2 ? 'allow' : 'deny'}-${n}`;

const policyOf = (policy: string, content: string): object => ({
  policy_id: policy,
  name: policy,
  rules: [
    {
      rule_id: 'gate',
      name: content,
      effect: content.startsWith('allow') ? 'allow' : 'deny',
      conditions: [{ field: 'action', operator: '==', value: `do.${policy}` }],
    },
  ],
});

abstract class Writer extends Client {
  protected readonly pauseMs = WRITE_MS;
  private written = 0;

  constructor(
    members: readonly Member[],
    recorder: Recorder,
    readonly policy: string,
  ) {
    super(members, recorder);
  }

  protected next(): string {
    this.written += 1;
    return contentOf(this.written);
  }

  protected create(member: Member, content: string, token?: string): Promise<Answer> {
    const body = policyOf(this.policy, content);
    const question = { method: 'POST', path: BASE, body, token } as const;
    return this.recorder.do(member, question, (answer) => this.write('create', content, answer, token));
  }

  protected put(member: Member, content: string): Promise<Answer> {
    const body = policyOf(this.policy, content);
    const question = { method: 'PUT', path: `${BASE}/${this.policy}`, body } as const;
    return this.recorder.do(member, question, (answer) => this.write('change', content, answer));
  }

  protected delete(member: Member): Promise<Answer> {
    const question = { method: 'DELETE', path: `${BASE}/${this.policy}` } as const;
    return this.recorder.do(member, question, (answer) => this.write('delete', null, answer));
  }

  private write(does: Write['does'], content: Content, answer: Answer, token?: string): Write {
    const write: Write = { kind: 'write', does, policy: this.policy, content, token };
    if (!isDone(answer)) return write;
    const revision = Number(answer.headers['policy-revision']);
    return { ...write, revision, version: (answer.body as { revision?: number } | undefined)?.revision };
  }
}

/** Changes one policy from one content to the next: at one replica or the other, or at both of them at once. */
export class Changer extends Writer {
  private turn = 0;

  protected async step(): Promise<void> {
    const content = this.next();
    if (content === contentOf(1)) return this.patiently(this.create(this.anyMember(), content, this.policy));
    this.turn += 1;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const member = this.members[(this.turn + attempt) % this.members.length];
      const twins = chance(0.4) ? [member, this.besides(member)] : [member];
      const answers: Answer[] = [];
      const asked = twins.map((one) => this.put(one, content).then((answer) => answers.push(answer)));
      await this.patiently(...asked);
      if (answers.some(({ status }) => status === 404)) {
        // The first one may never have been made.
        await this.patiently(this.create(this.besides(member), contentOf(1), this.policy));
      }
      if (answers.some(isDone)) return;
      await sleep(AGAIN_MS);
    }
  }
}

/** Makes a policy, changes it, deletes it, and does to it what then can only be refused. */
export class Comer extends Writer {
  private round = 0;

  protected async step(): Promise<void> {
    const [here, there] = chance(0.5) ? this.members : [...this.members].reverse();
    const other = there ?? here;
    const first = this.next();
    this.round += 1;
    const token = `${this.policy}-${this.round}`;
    await this.patiently(this.create(here, first, token), this.create(other, first, token));
    await this.patiently(this.create(here, this.next()));
    const second = this.next();
    await this.patiently(this.put(other, second), this.put(here, second));
    await this.patiently(this.create(other, first, token));
    await this.patiently(this.delete(here));
    await this.patiently(this.delete(other), this.put(here, this.next()));
  }
}

/**
 * Asks one replica, now and then for no less than what was answered to a writer. Who demands a revision makes a replica look
 * for it, and so notice that it is cut off: then only those who are `demanding` do.
 */
export class Decider extends Client {
  protected readonly pauseMs = DECIDE_MS;

  constructor(
    private readonly member: Member,
    recorder: Recorder,
    private readonly policies: readonly string[],
    private readonly demanding: boolean,
  ) {
    super([member], recorder);
  }

  protected step(): Promise<void> {
    const { revision } = this.recorder;
    const demands = revision > 0 && chance(0.25) && (this.demanding || !this.member.isCutOff);
    const atLeast = demands ? revision : undefined;
    return this.briefly(decide(this.recorder, this.member, { policy: pick(this.policies), atLeast }));
  }
}

interface Wanted {
  policy: string;
  atLeast?: number;
  /** Its id, and itself. */
  key?: [id: string, text: string];
}

export function decide(
  recorder: Recorder,
  member: Member,
  { policy, atLeast, key }: Wanted,
): Promise<Answer> {
  const query = atLeast === undefined ? '' : `?min_revision=${atLeast}`;
  const question = {
    method: 'POST',
    path: `/api/policy/evaluate${query}`,
    body: { agent_id: 'checker', action: `do.${policy}` },
    key: key?.[1],
  } as const;
  return recorder.do(member, question, (answer) => {
    const did: Decide = { kind: 'decide', policy, atLeast, key: key?.[0] };
    if (!isDone(answer)) return did;
    const { decision_id, allowed, stale, policy_revision, matched_policy, reason } = answer.body as Decision;
    const rule = /by rule '(.+)'$/.exec(reason)?.[1];
    const content = (matched_policy === policy && rule) || null;
    return { ...did, id: decision_id, allowed, stale, revision: policy_revision, content };
  });
}
