/** How the slots of a worker are shared: no agent holds them all, and no mission waits for ever behind those of an agent. */
import { MissionWorkers, TEST_KIND } from '../../../test/support/mission-worker.js';
import { until } from '../../../test/support/until.js';
import { MISSIONS } from '../missions.collection.js';

const SOON_MS = 20_000;
const step = { name: 'a', kind: TEST_KIND };

describe('the slots of a worker', () => {
  let workers: MissionWorkers;
  /** The missions whose step is executing, and how to end it. */
  let executing: Map<string, () => void>;
  let most: number;

  beforeEach(async () => {
    workers = await MissionWorkers.open();
    executing = new Map();
    most = 0;
    workers.step = ({ id }, { signal }) =>
      new Promise((done) => {
        const end = (): void => {
          executing.delete(id as string);
          done(null);
        };
        executing.set(id as string, end);
        most = Math.max(most, of('busy').length);
        signal.addEventListener('abort', end);
      });
  });
  afterEach(() => {
    workers.step = async () => null;
    for (const end of executing.values()) end();
    return workers.close();
  });

  const of = (name: string): string[] => [...executing.keys()].filter((id) => id.startsWith(name));
  const start = async (name: string, role: string, count: number, over: object = {}): Promise<void> => {
    for (let i = 0; i < count; i += 1) {
      const id = `${name}-${i}`;
      await workers.executeAs(name, role, { id, steps: [{ ...step, params: { id } }], ...over });
    }
  };
  const abandon = async (...ids: string[]): Promise<void> => {
    for (const id of ids)
      await workers.store.transaction(async (tx) => {
        const mission = await tx.get(MISSIONS, id);
        if (mission) tx.put(MISSIONS, { ...mission, status: 'RUNNING', held_by: 999_999 });
      });
  };
  const executes = (id: string): Promise<void> =>
    until(() => executing.has(id), SOON_MS, `the step of ${id}`);
  const open = (count: number, env: Record<string, string> = {}): void => {
    const slots = String(count);
    workers.make({ BRAIN_MISSIONS_CONCURRENCY: slots, ...env }).onApplicationBootstrap();
  };

  it('are held by one agent up to half, rounded up; a mission of somebody else is taken first', async () => {
    // More than one search lists, and of a higher priority.
    await start('busy', 'agent', 40, { priority: 'HIGH' });
    await start('operator', 'operator', 1, { priority: 'LOW' });
    open(5);
    await executes('operator-0');
    await until(() => of('busy').length === 3, SOON_MS, 'the share of the agent');
    await start('late', 'agent', 1);
    await executes('late-0');
    expect([of('busy').length, most]).toEqual([3, 3]);
  });

  it('go to the next mission of an agent when one of its missions ends, so that all of them run', async () => {
    await start('busy', 'agent', 12);
    open(4);
    for (let done = 0; done < 12; done += 1) {
      await until(() => of('busy').length > 0, SOON_MS, 'the next mission of the agent');
      executing.get(of('busy')[0])?.();
    }
    const ended = async (): Promise<boolean> =>
      (await workers.store.counts(MISSIONS))['by_status.COMPLETED'] === 12;
    await until(ended, SOON_MS, 'the end of all missions');
    expect(most).toBe(2);
  });

  it('are found by missions behind any number of missions of an agent', async () => {
    await start('busy', 'agent', 700);
    await start('other', 'agent', 1);
    open(2);
    await executes('other-0');
    expect(of('busy')).toEqual(['busy-0']);
  }, 60_000);

  it('are counted for whoever started the mission, and not for operators', async () => {
    await start('busy', 'operator', 4);
    open(4);
    await until(() => of('busy').length === 4, SOON_MS, 'all missions of the operator');
  });

  it('have no shares if the setting is 0', async () => {
    await start('busy', 'agent', 4);
    open(4, { BRAIN_MISSIONS_AGENT_SHARE: '0' });
    await until(() => of('busy').length === 4, SOON_MS, 'all missions of the agent');
  });

  it('leave an abandoned mission of an agent that has its share to another worker', async () => {
    await start('busy', 'agent', 3);
    await abandon('busy-0', 'busy-1', 'busy-2');
    open(2);
    await until(() => of('busy').length === 1, SOON_MS, 'the first mission');
    open(2);
    await until(() => of('busy').length === 2, SOON_MS, 'the second mission');
    expect(most).toBe(2);
  });

  it('are given to an abandoned mission beyond the share, but not the last one', async () => {
    await start('busy', 'agent', 9);
    await abandon('busy-6', 'busy-7', 'busy-8');
    open(4);
    await until(() => of('busy').length === 3, SOON_MS, 'an abandoned mission');
    await start('other', 'agent', 1);
    await executes('other-0');
    expect(['busy-6', 'busy-7', 'busy-8'].filter((id) => executing.has(id)).length).toBeGreaterThan(0);
    expect(most).toBe(3);
  });

  it('are found by a mission behind many large ones of an agent', async () => {
    await start('busy', 'agent', 120, { data: { text: 'a'.repeat(100_000) } });
    await start('other', 'agent', 1);
    open(2);
    await executes('other-0');
    expect(of('busy')).toHaveLength(1);
  }, 60_000);
});
