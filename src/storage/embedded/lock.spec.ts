import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Children } from '../../../test/support/embedded-child.js';
import { EmbeddedDatabase } from './database.js';
import { lockFolder } from './lock.js';

const options = { maxBytes: 2 ** 26 };

describe('the lock of the data folder', () => {
  let children: Children;
  let folder: string;

  beforeAll(() => {
    children = new Children();
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'brain-lock-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  afterAll(() => children.stop());

  const sockets = (): string[] => readdirSync(folder).filter((name) => name.includes('.lock'));

  it('refuses a second process and says what to do', async () => {
    const owner = children.start(folder);
    expect(await owner.next()).toEqual({ open: true });
    await expect(EmbeddedDatabase.open(folder, options)).rejects.toMatchObject({
      kind: 'unavailable',
      code: 'data_folder_in_use',
      detail: expect.stringMatching(/Another process uses.*BRAIN_DATA_DIR.*REDIS_URL/s),
    });
    expect(await owner.ask({ do: 'put', key: 1, value: 'still works' })).toEqual({ done: 1 });
    await owner.kill();
  });

  it('refuses a second open in the same process', async () => {
    const db = await EmbeddedDatabase.open(folder, options);
    await expect(EmbeddedDatabase.open(folder, options)).rejects.toMatchObject({
      code: 'data_folder_in_use',
    });
    await db.close();
  });

  it('is free at once after a close, and leaves nothing behind', async () => {
    await (await EmbeddedDatabase.open(folder, options)).close();
    expect(sockets()).toEqual([]);
    await (await EmbeddedDatabase.open(folder, options)).close();
  });

  it('is free at once after kill -9, and removes the sockets of dead processes', async () => {
    for (let round = 0; round < 2; round += 1) {
      const owner = children.start(folder);
      expect(await owner.next()).toEqual({ open: true });
      await owner.kill();
    }
    expect(sockets()).toHaveLength(1);
    const db = await EmbeddedDatabase.open(folder, options);
    expect(sockets()).toHaveLength(1);
    await db.close();
    expect(sockets()).toEqual([]);
  });

  it('holds while its owner is stopped and cannot answer', async () => {
    const owner = children.start(folder);
    expect(await owner.next()).toEqual({ open: true });
    owner.signal('SIGSTOP');
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'data_folder_in_use' });
    await owner.kill();
  });

  it('goes to exactly one of several processes that start together', async () => {
    for (let round = 0; round < 3; round += 1) {
      const racers = Array.from({ length: 5 }, () => children.start(folder));
      const said = await Promise.all(racers.map((racer) => racer.next()));
      expect(said.filter((message) => message?.open)).toHaveLength(1);
      expect(said.filter((message) => message?.code === 'data_folder_in_use')).toHaveLength(4);
      await Promise.all(racers.map((racer) => racer.kill()));
    }
  });

  it('goes to exactly one of many overlapping opens', async () => {
    for (let round = 0; round < 20; round += 1) {
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
      const won = tries.filter((result) => result.status === 'fulfilled');
      expect(won).toHaveLength(1);
      await won[0]?.value.release();
    }
    expect(sockets()).toEqual([]);
  });

  /** Another process that has not decided yet. */
  async function rival(digit: string, answer = 'candidate'): Promise<Server> {
    const server = createServer((socket) => socket.end(answer));
    await new Promise<void>((resolve) =>
      server.listen(join(folder, `brain-${digit.repeat(16)}.lock`), resolve),
    );
    return server;
  }

  it('goes to the smallest name of those that start together', async () => {
    const smaller = await rival('0');
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'data_folder_in_use' });
    smaller.close();
  });

  it('waits until a larger name has given up', async () => {
    const larger = await rival('f');
    let won = false;
    const locking = lockFolder(folder).then((lock) => {
      won = true;
      return lock;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(won).toBe(false);
    larger.close();
    await (await locking).release();
  });

  it('stays with a larger name that is the owner already', async () => {
    const owner = await rival('f', 'owner');
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'data_folder_in_use' });
    owner.close();
  });

  it('works in folders whose path is too long for the address of a socket', async () => {
    const deep = join(folder, 'x'.repeat(100), 'y'.repeat(100));
    mkdirSync(deep, { recursive: true });
    const lock = await lockFolder(deep);
    await expect(lockFolder(deep)).rejects.toMatchObject({ code: 'data_folder_in_use' });
    await lock.release();
    expect(existsSync(deep)).toBe(true);
    expect(readdirSync(deep)).toEqual([]);
  });
});
