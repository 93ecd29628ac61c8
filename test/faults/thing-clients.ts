/** A client that reports threats and immune events and makes missions, and repeats each of its requests in every way. */
import { sleep } from '../../src/shared/clock.js';
import { Client, chance, pick } from './client.js';
import { isDone, type Make } from './history.js';
import type { Member } from './member.js';
import type { Answer, Recorder } from './recorder.js';

const MAKE_MS = 60;
const AGAIN_MS = 100;
const ATTEMPTS = 4;
const MAX_REPETITIONS = 100;

type Kind = 'threat' | 'immune' | 'mission';

/** Each carries its `Idempotency-Key` in itself, so that it can be found by it. */
const REQUESTS: Record<Kind, { path: string; body: (token: string) => object }> = {
  threat: {
    path: '/api/threats',
    body: (token) => ({ type: 'probe', source: token, severity: 'LOW' }),
  },
  immune: {
    path: '/api/immune/event',
    body: (token) => ({ severity: 'INFO', type: 'SELF_HEALING_ACTION', message: token }),
  },
  mission: { path: '/api/missions', body: (token) => ({ id: token, name: token }) },
};

export class ThingMaker extends Client {
  protected readonly pauseMs = MAKE_MS;
  private made = 0;
  private readonly open: { what: Kind; token: string }[] = [];

  constructor(
    members: readonly Member[],
    recorder: Recorder,
    private readonly prefix: string,
  ) {
    super(members, recorder);
  }

  /** Repeats a request that got no answer. Afterwards it has been done once. */
  async settle(): Promise<void> {
    for (const { what, token } of this.open) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
        if (isDone(await this.make(this.anyMember(), what, token))) break;
        await sleep(AGAIN_MS);
      }
    }
  }

  /** A request and its repetitions, close upon each other; `work` is done at the first good answer to any of them. */
  async repeatUntil(member: Member, work: () => Promise<void>): Promise<void> {
    const { what, token } = this.next();
    this.open.push({ what, token });
    let done: Promise<void> | undefined;
    const asked: Promise<void>[] = [];
    while (!done && asked.length < MAX_REPETITIONS) {
      const asking = this.make(member, what, token).then((answer) => {
        if (isDone(answer)) done ??= work();
      });
      asked.push(asking);
      await sleep(1);
    }
    await Promise.all(asked);
    await (done ?? work());
  }

  protected async step(): Promise<void> {
    const { what, token } = this.next();
    const member = this.anyMember();
    const answers = [this.make(member, what, token)];
    // While the first one is under way, here or elsewhere.
    if (chance(0.5)) answers.push(this.make(this.anyMember(), what, token));
    let done = false;
    const seen = answers.map((one) => one.then((answer) => this.follow(answer, what, token)));
    await this.patiently(...seen.map((one) => one.then((ok) => (done ||= ok))));
    if (!done) this.open.push({ what, token });
  }

  private next(): { what: Kind; token: string } {
    const what = pick(['threat', 'immune', 'mission'] as const);
    this.made += 1;
    return { what, token: `${this.prefix}-${what}-${this.made}` };
  }

  /** What is done about an answer: it is repeated and looked at elsewhere. True where it is known to be done. */
  private async follow(answer: Answer, what: Kind, token: string): Promise<boolean> {
    const member = this.anyMember();
    if (answer.status === 503) return isDone(await this.make(member, what, token));
    if (!isDone(answer)) return false;
    if (chance(0.4)) await this.make(member, what, token);
    if (what === 'mission' && chance(0.4)) await this.claim(member, token);
    if (what !== 'immune' && chance(0.4)) await this.look(member, what, idIn(what, answer));
    return true;
  }

  private make(member: Member, what: Kind, token: string): Promise<Answer> {
    const { path, body } = REQUESTS[what];
    const question = { method: 'POST', path, body: body(token), token } as const;
    return this.recorder.do(member, question, (answer): Make => {
      return { kind: 'make', what, token, id: isDone(answer) ? idIn(what, answer) : undefined };
    });
  }

  private claim(member: Member, id: string): Promise<Answer> {
    const question = { method: 'POST', path: '/api/missions', body: { id, name: id } } as const;
    return this.recorder.do(member, question, () => ({ kind: 'claim', id }));
  }

  private look(member: Member, what: Kind, id: string): Promise<Answer> {
    const question = { method: 'GET', path: `${REQUESTS[what].path}/${id}` } as const;
    return this.recorder.do(member, question, () => ({ kind: 'look', what, id }));
  }
}

function idIn(what: Kind, { body }: Answer): string {
  return what === 'immune' ? String(body) : (body as { id: string }).id;
}
