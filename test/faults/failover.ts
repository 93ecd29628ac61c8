/**
 * A Redis with a replica, and another replica behind that one: the first is lost with what it had not passed on, and the
 * service is led to the second. No Sentinel: who promotes and who leads is the test, so that it is known what gets lost.
 */
import { NO_SYNC_DELAY, RedisServer } from '../support/redis-server.js';
import { Wire } from '../support/wire.js';
import { Member } from './member.js';
import { recovered } from './stage.js';

export class Failover {
  private constructor(
    private readonly servers: [first: RedisServer, second: RedisServer, third: RedisServer],
    /** Between the first and its replica. */
    private readonly passage: Wire,
    readonly members: Member[],
  ) {}

  static async start(env: Record<string, string>): Promise<Failover> {
    const first = await RedisServer.start(NO_SYNC_DELAY);
    const passage = await Wire.to(first.port);
    const second = await RedisServer.startReplica(passage, NO_SYNC_DELAY);
    const third = await RedisServer.startReplica(second, NO_SYNC_DELAY);
    const settings = { BRAIN_TRUST_PROXY: '1', BRAIN_REDIS_WAIT: '1', ...env };
    const names = ['a', 'b'];
    const members = await Promise.all(
      names.map(async (name) => new Member(name, settings, await Wire.to(first.port))),
    );
    const failover = new Failover([first, second, third], passage, members);
    try {
      await Promise.all(members.map((member) => member.start()));
    } catch (error) {
      await failover.stop();
      throw error;
    }
    return failover;
  }

  /** The first server continues, and what is written to it from now on will be lost. */
  isolate(): void {
    this.passage.tear();
  }

  /** Resolves when the service works on the second; returns when the first was gone. */
  async promote(): Promise<number> {
    const [first, second] = this.servers;
    for (const member of this.members) member.isOut('cut');
    await first.kill();
    const goneMs = performance.now();
    second.cli('replicaof', 'no', 'one');
    for (const { wire } of this.members) wire?.retarget(second.port);
    for (const member of this.members) member.isBack('cut');
    await Promise.all(this.members.map((member) => recovered(member)));
    return goneMs;
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.remove()));
    await this.passage.close();
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}
