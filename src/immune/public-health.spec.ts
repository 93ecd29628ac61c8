import type { ImmuneHealth } from './immune.dto.js';
import { PublicHealth } from './public-health.js';

describe('the health for callers without a key', () => {
  let now: number;
  let counted: number[];
  let fails: boolean;
  let health: PublicHealth;

  beforeEach(() => {
    [now, counted, fails] = [0, [], false];
    const count = async (minutes: number): Promise<ImmuneHealth> => {
      counted.push(minutes);
      if (fails) throw new Error('the store is away');
      return { window_minutes: minutes, active_issues: counted.length } as ImmuneHealth;
    };
    health = new PublicHealth(count, () => now);
  });

  it('is counted once a second for each window, also at the same time', async () => {
    const both = await Promise.all([health.health(60), health.health(60)]);
    expect(both[0]).toBe(both[1]);
    now = 999;
    await health.health(60);
    expect(counted).toEqual([60]);
    now = 1000;
    expect((await health.health(60)).active_issues).toBe(2);
  });

  it('is counted for few windows in a second', async () => {
    for (let minutes = 1; minutes <= 8; minutes += 1) await health.health(minutes);
    expect(() => health.health(9)).toThrow(/send a key/);
    await health.health(8);
    now = 1000;
    await health.health(9);
    expect(counted).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('is counted again after a failure', async () => {
    fails = true;
    await expect(health.health(60)).rejects.toThrow('away');
    fails = false;
    expect((await health.health(60)).window_minutes).toBe(60);
  });
});
