import { loggerTo } from '../../test/support/logs.js';
import { until } from '../../test/support/until.js';
import { EventLoopWatch } from './event-loop-watch.js';

describe('the watch of the event loop', () => {
  const look = (watch: EventLoopWatch, ...delays: number[]): boolean => {
    for (const delayMs of delays) watch.look(delayMs);
    return watch.isOverloaded;
  };

  it('reports each episode once: five late seconds begin it, five good ones end it', () => {
    const lines: string[] = [];
    const watch = new EventLoopWatch(loggerTo(lines), 250);
    const reported: number[] = [];
    watch.onOverload((delayMs) => reported.push(delayMs));
    expect(look(watch, 300, 300, 300, 300, 200, 300, 300, 300, 300)).toBe(false);
    expect(look(watch, 400)).toBe(true);
    expect(look(watch, 500, 200, 200, 200, 200, 300, 200, 200, 200, 200)).toBe(true);
    expect(look(watch, 200)).toBe(false);
    expect(reported).toEqual([400]);
    expect(lines).toHaveLength(1);
    expect(look(watch, 300, 300, 300, 300, 300)).toBe(true);
    expect(reported).toEqual([400, 300]);
  });

  it('measures the delay of this process', async () => {
    const watch = new EventLoopWatch(loggerTo([]), 20);
    const delays: number[] = [];
    jest.spyOn(watch, 'look').mockImplementation((delayMs) => void delays.push(delayMs));
    watch.onApplicationBootstrap();
    const block = setInterval(() => {
      const endMs = performance.now() + 150;
      while (performance.now() < endMs);
    }, 160);
    try {
      await until(() => delays.some((delayMs) => delayMs > 100), 10_000, 'a late second');
    } finally {
      clearInterval(block);
      watch.onModuleDestroy();
    }
  });
});
