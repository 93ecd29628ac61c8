import { setImmediate as turn } from 'node:timers/promises';
import type { StreamReader } from './stream-reader.js';
import { UnsentHistory } from './unsent-history.js';

class SlowReader {
  isCut = false;
  private taken!: () => void;
  send(): Promise<void> {
    return new Promise((resolve) => {
      this.taken = resolve;
    });
  }
  take(): void {
    this.taken();
  }
  cut(): void {
    this.isCut = true;
    this.taken();
  }
}

describe('the history that readers have not taken', () => {
  it('is bounded: the reader that has waited longest is disconnected', async () => {
    const history = new UnsentHistory(100);
    const readers = Array.from({ length: 4 }, () => new SlowReader());
    const sends: Promise<void>[] = [];
    const send = (n: number, bytes: number): void => {
      sends.push(history.send(readers[n] as unknown as StreamReader, 'x'.repeat(bytes)));
    };
    const cut = (): number[] => readers.flatMap((reader, n) => (reader.isCut ? [n] : []));
    send(0, 40);
    send(1, 40);
    readers[1]?.take();
    await turn();
    send(2, 50);
    expect(cut()).toEqual([]);
    send(3, 40);
    expect(cut()).toEqual([0]);
    readers[2]?.take();
    readers[3]?.take();
    await Promise.all(sends);
    // All of it is counted as taken.
    send(1, 100);
    readers[1]?.take();
    await turn();
    expect(cut()).toEqual([0]);
  });

  it('never cuts a reader for its own page', async () => {
    const history = new UnsentHistory(10);
    const reader = new SlowReader();
    const sent = history.send(reader as unknown as StreamReader, 'x'.repeat(100));
    expect(reader.isCut).toBe(false);
    reader.take();
    await sent;
  });

  it('is read four times at once, in order, also after a failure', async () => {
    const history = new UnsentHistory();
    let [running, most] = [0, 0];
    const order: number[] = [];
    const work = async (n: number): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      order.push(n);
      await turn();
      running -= 1;
      if (n % 3 === 0) throw new Error('no');
    };
    const all = Array.from({ length: 20 }, (_, n) => history.read(() => work(n)).catch(() => undefined));
    await Promise.all(all);
    expect(most).toBe(4);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    await history.read(() => work(1));
    expect(running).toBe(0);
  });
});
