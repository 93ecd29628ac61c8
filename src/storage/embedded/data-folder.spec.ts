import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import { checkDataFile } from './data-file.js';
import { DataFolder, networkFileSystem } from './data-folder.js';
import { EmbeddedDatabase } from './database.js';

const options = { maxBytes: 2 ** 28 };
const PAGE = 4096;

let root: string;
let folder: string;
let file: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'brain-folder-'));
  folder = join(root, 'data');
  file = join(folder, 'brain.mdb');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function fill(documents: number, from = 0): Promise<void> {
  const db = await EmbeddedDatabase.open(folder, options);
  const put = (id: number): void =>
    db.docs.putSync(['t', id], `${id} ${'x'.repeat(id % 50 === 0 ? 9000 : 200)}`);
  const commits = Array.from({ length: documents }, (_, i) => db.commit(() => put(from + i)));
  await Promise.all(commits);
  await db.close();
}

function write(offset: number, bytes: Buffer): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

function fingerprint(): string[] {
  return readdirSync(folder)
    .sort()
    .filter((name) => name !== 'brain.mdb-lock')
    .map(
      (name) =>
        `${name} ${createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex')}`,
    );
}

describe('a data folder', () => {
  it('is created with its parents and a marker, with access for its user only', async () => {
    folder = join(folder, 'deep', 'er');
    await fill(1);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, 'brain.mdb')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, 'BRAIN-STORE.txt'), 'utf8')).toMatch(/restore.*backup/);
  });

  it('survives an interrupted first start', async () => {
    mkdirSync(folder);
    writeFileSync(join(folder, 'brain.mdb-new'), 'half a');
    await fill(3);
    await fill(3, 3);
    expect(readdirSync(folder).sort()).toEqual(['BRAIN-STORE.txt', 'brain.mdb', 'brain.mdb-lock']);
  });

  it('gets its marker again after a restore of the data file alone', async () => {
    await fill(3);
    copyFileSync(file, join(root, 'kept'));
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    copyFileSync(join(root, 'kept'), file);
    await fill(3, 3);
    expect(existsSync(join(folder, 'BRAIN-STORE.txt'))).toBe(true);
  });

  it.each([
    ['ENOSPC', 'storage_full', /Free some space/],
    ['EDQUOT', 'storage_full', /Free some space/],
    ['EFBIG', 'storage_full', /ulimit -f/],
    ['EACCES', 'data_folder_unwritable', /chown/],
    ['EROFS', 'data_folder_unwritable', /BRAIN_DATA_DIR/],
    ['EOPNOTSUPP', 'data_folder_unsuitable', /named volume/],
    ['EIO', 'data_folder_unusable', /BRAIN_DATA_DIR/],
  ])('explains %s as %s', (code, expected, advice) => {
    const error = Object.assign(new Error(`${code}: no`), { code });
    expect(new DataFolder(folder).refusal(error)).toMatchObject({
      kind: 'unavailable',
      code: expected,
      detail: expect.stringMatching(advice),
    });
  });

  it('is refused when it cannot be created', async () => {
    writeFileSync(folder, 'a file');
    await expect(EmbeddedDatabase.open(folder, options)).rejects.toMatchObject({
      code: 'data_folder_unusable',
    });
  });
});

describe('a network file system', () => {
  const mounts = [
    '22 1 254:0 / / rw - ext4 /dev/vda rw',
    '40 22 0:50 / /mnt/ssh rw shared:1 - fuse.sshfs host:/ rw',
    '41 22 0:51 / /mnt/usb rw - fuseblk /dev/sdb1 rw',
  ].join('\n');

  it.each([
    ['NFS', 0x6969, 'NFS'],
    ['SMB', 0xfe534d42, 'SMB'],
    ['CIFS, as a number with a sign', 0xff534d42 | 0, 'CIFS'],
    ['9P', 0x01021997, '9P'],
    ['Ceph', 0x00c36400, 'Ceph'],
    ['AFS', 0x5346414f, 'AFS'],
  ])('is recognized by its type: %s', (_, type, name) => {
    expect(networkFileSystem(type, '', '0:1')).toBe(name);
  });

  it.each([
    ['ext4', 0xef53],
    ['xfs', 0x58465342],
    ['btrfs', 0x9123683e],
    ['tmpfs', 0x01021994],
    ['overlay', 0x794c7630],
    ['zfs', 0x2fc12fc1],
  ])('is not %s', (_, type) => {
    expect(networkFileSystem(type, mounts, '254:0')).toBeUndefined();
  });

  it('is recognized behind FUSE by the name of the mount', () => {
    expect(networkFileSystem(0x65735546, mounts, '0:50')).toBe('fuse.sshfs');
    expect(networkFileSystem(0x65735546, mounts, '0:51')).toBeUndefined();
  });
});

describe('a damaged data file', () => {
  const refused = async (code = 'data_file_damaged'): Promise<void> => {
    const before = fingerprint();
    await expect(EmbeddedDatabase.open(folder, options)).rejects.toMatchObject({
      kind: 'unavailable',
      code,
      detail: expect.stringMatching(/backup.*move .* away/i),
    });
    expect(fingerprint()).toEqual(before);
    // A refusal releases the lock, and the next open gets the same one.
    await expect(EmbeddedDatabase.open(folder, options)).rejects.toMatchObject({ code });
  };

  beforeEach(() => fill(2000));

  it.each<[string, () => void]>([
    ['empty', () => truncateSync(file, 0)],
    ['a few bytes long', () => truncateSync(file, 100)],
    ['one page long', () => truncateSync(file, PAGE)],
    ['as long as its meta pages', () => truncateSync(file, 2 * PAGE)],
    ['cut in half', () => truncateSync(file, statSync(file).size / 2)],
    // Only the last page is cut off. Whether it is in use depends on how the commits shared batches.
    ['short of its last pages', () => truncateSync(file, (statSync(file).size >> 13) * PAGE)],
    ['some text', () => writeFileSync(file, 'x'.repeat(100_000))],
    ['zeros', () => writeFileSync(file, Buffer.alloc(1_000_000))],
    ['without its first page', () => write(0, Buffer.alloc(PAGE))],
    ['without its second page', () => write(PAGE, Buffer.alloc(PAGE, 0xff))],
    [
      'overwritten in the middle',
      () => write((statSync(file).size >> 13) * PAGE, Buffer.alloc(20 * PAGE, 0x5a)),
    ],
    ['all zeros behind its meta pages', () => write(2 * PAGE, Buffer.alloc(statSync(file).size - 2 * PAGE))],
  ])('is refused and not changed when it is %s', async (_, damage) => {
    damage();
    await refused();
  });

  it('is refused when it is missing', async () => {
    rmSync(file);
    await refused('data_file_missing');
    rmSync(join(folder, 'BRAIN-STORE.txt'));
    await refused('data_file_missing');
  });

  it('is refused when another program wrote it', async () => {
    rmSync(file);
    const other = open({ path: file });
    await other.put('a', 1);
    await other.close();
    await refused();
  });

  const withFormat = async (format: string): Promise<void> => {
    const store = open({ path: file });
    await store.openDB({ name: 'meta', encoding: 'string' }).put(['format'], format);
    await store.close();
  };

  it('is refused when a later release wrote it', async () => {
    await withFormat('4');
    await expect(EmbeddedDatabase.open(folder, options)).rejects.toMatchObject({ code: 'data_file_newer' });
  });

  it('is opened when an older release wrote it, which refuses it from then on', async () => {
    await withFormat('1');
    const db = await EmbeddedDatabase.open(folder, options);
    expect(db.meta.get(['format'])).toBe('3');
    await db.close();
    const reopened = await EmbeddedDatabase.open(folder, options);
    await reopened.close();
  });

  it('never ends the process, with any page overwritten', async () => {
    const whole = readFileSync(file);
    let refusals = 0;
    for (let page = 0; page < whole.length / PAGE; page += 7) {
      writeFileSync(file, whole);
      write(page * PAGE, createHash('sha512').update(String(page)).digest());
      try {
        const db = await EmbeddedDatabase.open(folder, options);
        for (const { value } of db.docs.getRange()) expect(value).toMatch(/^\d+ /);
        await db.close();
      } catch (error) {
        expect(error).toMatchObject({ code: 'data_file_damaged' });
        refusals += 1;
      }
    }
    expect(refusals).toBeGreaterThan(10);
  });
});

describe('a sound data file', () => {
  it('may end before its last page when only free pages are missing', async () => {
    await fill(3000);
    const db = await EmbeddedDatabase.open(folder, options);
    await db.commit(() => {
      for (let id = 1000; id < 3000; id += 1) db.docs.removeSync(['t', id]);
    });
    for (let i = 0; i < 50; i += 1) await db.commit(() => db.docs.putSync(['t', 0], `0 ${i}`));
    await db.close();
    let bytes = statSync(file).size;
    const full = bytes;
    const sound = (): boolean => {
      try {
        return checkDataFile(file).whole;
      } catch {
        return false;
      }
    };
    const whole = readFileSync(file);
    do {
      bytes -= PAGE;
      truncateSync(file, bytes);
    } while (sound());
    bytes += PAGE;
    expect(bytes).toBeLessThan(full);
    writeFileSync(file, whole.subarray(0, bytes));
    const again = await EmbeddedDatabase.open(folder, options);
    expect([...again.docs.getRange()]).toHaveLength(1000);
    await again.commit(() => again.docs.putSync(['t', 5000], 'new'));
    await again.close();
  });

  it('is checked within a limit when it is whole', async () => {
    await fill(3000);
    expect(checkDataFile(file, 20)).toMatchObject({ whole: false });
    expect(checkDataFile(file)).toMatchObject({ whole: true });
  });
});
