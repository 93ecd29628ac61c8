/** All the clients of one history: they come, are at it through a fault, and leave with everything settled. */
import type { Client } from './client.js';
import type { History } from './history.js';
import { Keys, KeyUser } from './key-clients.js';
import type { Member } from './member.js';
import { Changer, Comer, Decider } from './policy-clients.js';
import { Recorder } from './recorder.js';
import { ThingMaker } from './thing-clients.js';

/** Of each client. */
const MAX_STEPS = 5000;

export interface CrowdOptions {
  /** Before all names, so that histories on one store do not meet. */
  prefix: string;
  graceMs: number;
  /** Where policies and keys are written; all members if not given. */
  writers?: readonly Member[];
  durable?: boolean;
  /** Demand revisions also of replicas that are cut off. */
  demanding?: boolean;
}

export class Crowd {
  readonly recorder = new Recorder();
  readonly policies: readonly string[];
  /** In Unix seconds. */
  readonly since = Math.floor(Date.now() / 1000);
  rolledBackAtMs?: number;
  private goesOn = true;
  private readonly keys: Keys;
  private readonly makers: ThingMaker[];
  private readonly clients: Client[];
  private readonly sinceMs = performance.now();
  private running: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly members: readonly Member[],
    private readonly options: CrowdOptions,
  ) {
    const { recorder } = this;
    const { prefix, demanding = false, writers: at = members } = options;
    const writers = [
      new Changer(at, recorder, `${prefix}-one`),
      new Changer(at, recorder, `${prefix}-two`),
      new Comer(at, recorder, `${prefix}-comes`),
    ];
    this.policies = writers.map(({ policy }) => policy);
    const keys = new Keys(at, recorder, prefix);
    this.keys = keys;
    this.makers = ['x', 'y'].map((name) => new ThingMaker(members, recorder, `${prefix}-${name}`));
    this.clients = [
      ...writers,
      keys,
      ...this.makers,
      ...members.flatMap((member) => [
        new Decider(member, recorder, this.policies, demanding),
        new Decider(member, recorder, this.policies, demanding),
        new KeyUser(member, recorder, keys, this.policies),
      ]),
    ];
  }

  async come(): Promise<void> {
    await this.keys.begin();
    this.running = Promise.all(this.clients.map((client) => client.run(() => this.goesOn, MAX_STEPS)));
  }

  /** Has one request repeated while it is under way, and does something once a repetition was answered well. */
  repeatUntil(member: Member, work: () => Promise<void>): Promise<void> {
    return this.makers[0].repeatUntil(member, work);
  }

  /** Afterwards nothing is under way, and what was left open was asked for again. */
  async leave(): Promise<History> {
    this.goesOn = false;
    await this.running;
    await this.recorder.settled();
    for (const maker of this.makers) await maker.settle();
    await this.recorder.settled();
    this.recorder.close();
    const { graceMs, durable = false } = this.options;
    const outages = this.members.flatMap((member) => member.outages);
    return {
      operations: this.recorder.operations,
      outages: outages.filter(({ toMs }) => toMs > this.sinceMs),
      graceMs,
      durable,
      rolledBackAtMs: this.rolledBackAtMs,
    };
  }
}
