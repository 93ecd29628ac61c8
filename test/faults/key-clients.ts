/** Clients that make and revoke keys, and clients that continue to use them. */
import { Client, chance, pick } from './client.js';
import { isDone } from './history.js';
import type { Member } from './member.js';
import { decide } from './policy-clients.js';
import type { Recorder } from './recorder.js';

const MAKE_MS = 150;
const USE_MS = 30;
/** So many keys are good at one time. */
const KEPT = 10;
/** Of those that were revoked, the last are the ones that may still be known somewhere. */
const REMEMBERED = 15;

export class Keys extends Client {
  protected readonly pauseMs = MAKE_MS;
  readonly good: [id: string, text: string][] = [];
  readonly revoked: [id: string, text: string][] = [];
  private made = 0;

  constructor(
    members: readonly Member[],
    recorder: Recorder,
    private readonly prefix: string,
  ) {
    super(members, recorder);
  }

  /** So that there are some which all replicas know before anything happens. */
  async begin(): Promise<void> {
    await Promise.all(Array.from({ length: KEPT }, () => this.make()));
  }

  protected async step(): Promise<void> {
    await this.patiently(this.make(), this.good.length >= KEPT ? this.revoke() : Promise.resolve());
  }

  private async make(): Promise<void> {
    this.made += 1;
    const token = `${this.prefix}-key-${this.made}`;
    const question = {
      method: 'POST',
      path: '/api/keys',
      body: { name: token, role: 'operator' },
      token,
    } as const;
    const answer = await this.recorder.do(this.anyMember(), question, (made) => {
      return {
        kind: 'make',
        what: 'key',
        token,
        id: isDone(made) ? (made.body as { id: string }).id : undefined,
      };
    });
    const { id, key } = (answer.body ?? {}) as { id?: string; key?: string };
    if (isDone(answer) && id && key) this.good.push([id, key]);
  }

  /** A client without a confirmation asks another replica. */
  private async revoke(): Promise<void> {
    const key = this.good.shift() as [string, string];
    this.revoked.push(key);
    if (this.revoked.length > REMEMBERED) this.revoked.shift();
    let member = this.anyMember();
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const question = { method: 'DELETE', path: `/api/keys/${key[0]}` } as const;
      const answer = await this.recorder.do(member, question, () => ({ kind: 'revoke', key: key[0] }));
      if (answer.status === 204 || answer.status === 404) return;
      member = this.besides(member);
    }
  }
}

/** Uses good keys and revoked ones at one replica, for decisions and for what needs no store. */
export class KeyUser extends Client {
  protected readonly pauseMs = USE_MS;

  constructor(
    private readonly member: Member,
    recorder: Recorder,
    private readonly keys: Keys,
    private readonly policies: readonly string[],
  ) {
    super([member], recorder);
  }

  protected async step(): Promise<void> {
    const { good, revoked } = this.keys;
    const key = pick(chance(0.3) ? good : revoked);
    if (!key) return;
    if (chance(0.6)) {
      await this.briefly(decide(this.recorder, this.member, { policy: pick(this.policies), key }));
      return;
    }
    const question = { method: 'GET', path: '/api/policy/info', key: key[1] } as const;
    await this.briefly(this.recorder.do(this.member, question, () => ({ kind: 'use', key: key[0] })));
  }
}
