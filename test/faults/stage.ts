/** Two replicas on one Redis, each behind a wire of its own, on which one fault after another is played. */
import { RedisServer } from '../support/redis-server.js';
import { until } from '../support/until.js';
import { Wire } from '../support/wire.js';
import { Member } from './member.js';
import { decide } from './policy-clients.js';
import { Recorder } from './recorder.js';

/** The longest time from the end of a fault until all replicas serve and decide by fresh policies. */
const RECOVERY_MS = 10_000;
/** Requests come from many addresses, as through a proxy. */
const COMMON = { BRAIN_TRUST_PROXY: '1' };

export class Stage {
  private constructor(
    readonly redis: RedisServer,
    readonly a: Member,
    readonly b: Member,
  ) {}

  static async start(options: string[], env: Record<string, string>): Promise<Stage> {
    const redis = await RedisServer.start(options);
    const [a, b] = await Promise.all(
      ['a', 'b'].map(async (name) => new Member(name, { ...COMMON, ...env }, await Wire.to(redis.port))),
    );
    const stage = new Stage(redis, a, b);
    try {
      await Promise.all(stage.members.map((member) => member.start()));
    } catch (error) {
      await stage.stop();
      throw error;
    }
    return stage;
  }

  get members(): [Member, Member] {
    return [this.a, this.b];
  }

  /** No replica gets news, because Redis is away. */
  redisIsOut(): void {
    for (const member of this.members) member.isOut('cut');
  }

  redisIsBack(): void {
    for (const member of this.members) member.isBack('cut');
  }

  /** Each replica writes, and decides without saying that it is stale. */
  async recovered(): Promise<void> {
    await Promise.all(this.members.map((member) => recovered(member)));
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.remove()));
    await this.redis.stop();
  }
}

export async function recovered(member: Member): Promise<void> {
  const recorder = new Recorder();
  const body = { severity: 'INFO', type: 'SELF_HEALING_ACTION', message: 'recovered' };
  const write = { method: 'POST', path: '/api/immune/event', body } as const;
  const serves = async (): Promise<boolean> => {
    const written = await recorder.do(member, write, () => ({ kind: 'look', what: 'immune', id: '' }));
    const decided = await decide(recorder, member, { policy: 'none' });
    const { stale } = (decided.body ?? {}) as { stale?: boolean };
    return written.status === 200 && decided.status === 200 && stale === undefined;
  };
  await until(serves, RECOVERY_MS, `the recovery of the replica ${member.name}`);
  recorder.close();
}
