/**
 * Checks the pages of the data file with plain reads, before the engine maps the file into memory. A mapped file that is
 * shorter than its meta pages say ends the process with SIGBUS, and a damaged page can do worse. The layout is that of
 * lmdb 3.5 on 64-bit little-endian machines (`MDB_page`, `MDB_meta` and `MDB_node` in its mdb.c). On other machines only
 * the size is checked.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { endianness } from 'node:os';

/** The message continues "The data file is damaged: ", such as "page 17 is not a page of the store". */
export class DamagedFile extends Error {}

/** How many pages of a file with its full length are checked: 64 MiB, about a tenth of a second. */
const CHECKED_PAGES = 16_384;

const HEADER_BYTES = 24;
const NODE_BYTES = 8;
const TREE_BYTES = 48;
const META_BYTES = 144;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const PAGE_BRANCH = 0x01;
const PAGE_LEAF = 0x02;
const PAGE_OVERFLOW = 0x04;
const PAGE_META = 0x08;
const NODE_OVERFLOW = 0x01;
const NODE_TREE = 0x02;
const UNFLUSHED = 0x1000;
const NO_PAGE = 2 ** 64;
/** The engine has no deeper trees. */
const MAX_DEPTH = 32;

interface Meta {
  txnId: number;
  flushed: boolean;
  pageBytes: number;
  lastPage: number;
  roots: number[];
}

/** Throws `DamagedFile`, or returns how many pages were checked. Changes nothing. */
export function checkDataFile(path: string, most = CHECKED_PAGES): { pages: number; whole: boolean } {
  const fd = openSync(path, 'r');
  try {
    const bytes = fstatSync(fd).size;
    if (bytes === 0) throw new DamagedFile('it is empty');
    if (!/64/.test(process.arch) || endianness() !== 'LE') return { pages: 0, whole: false };
    const meta = currentMeta(fd);
    const pages = Math.floor(bytes / meta.pageBytes);
    // A sound file may end before its last page: a free page may never have been written. Only a check of every page in
    // use can tell such a file from one that was cut off.
    const short = pages <= meta.lastPage;
    return new PageWalk(fd, meta, pages, short ? Number.POSITIVE_INFINITY : most).run();
  } finally {
    closeSync(fd);
  }
}

/**
 * The engine has three meta pages. The commits write the first two in turn. The third is half a page after the first and
 * is written only after a flush. This function makes the same choice as the engine with `safeRestore`.
 */
function currentMeta(fd: number): Meta {
  const first = readMeta(fd, 0);
  if (!first) throw new DamagedFile('its first page is not the first page of a store');
  const { pageBytes } = first;
  const second = readMeta(fd, pageBytes);
  if (!second) throw new DamagedFile('its second page is not the second page of a store');
  const flushed = parseMeta(read(fd, pageBytes / 2, HEADER_BYTES + META_BYTES), pageBytes);
  const chosen = safest(safest(first, second), flushed);
  if (chosen.pageBytes !== pageBytes) throw new DamagedFile('its first pages contradict each other');
  return chosen;
}

function safest(a: Meta, b: Meta): Meta {
  if (b.txnId === 0) return a;
  const latest = a.txnId >= b.txnId ? a : b;
  if (latest.flushed) return latest;
  return a.txnId > b.txnId ? b : a;
}

function readMeta(fd: number, offset: number): Meta | undefined {
  const page = read(fd, offset, HEADER_BYTES + META_BYTES);
  const isMeta = (page.readUInt16LE(18) & PAGE_META) !== 0;
  if (!isMeta || page.readUInt32LE(HEADER_BYTES) !== MAGIC) return undefined;
  if ((page.readUInt32LE(HEADER_BYTES + 4) & 0xffff) !== VERSION) return undefined;
  const pageBytes = page.readUInt32LE(HEADER_BYTES + 24);
  const isPowerOfTwo = (pageBytes & (pageBytes - 1)) === 0;
  if (pageBytes < 512 || pageBytes > 65_536 || !isPowerOfTwo) return undefined;
  return parseMeta(page, pageBytes);
}

function parseMeta(page: Buffer, pageBytes: number): Meta {
  const at = HEADER_BYTES;
  const txnId = number64(page, at + 128);
  return {
    txnId,
    flushed: (page.readUInt16LE(at + 28) & UNFLUSHED) === 0,
    pageBytes: txnId === 0 ? pageBytes : page.readUInt32LE(at + 24),
    lastPage: number64(page, at + 120),
    roots: [number64(page, at + 64), number64(page, at + 112)],
  };
}

/** Walks the trees level by level, so that the limit leaves out leaves of a large file and not branches. */
class PageWalk {
  private readonly seen: Uint8Array;
  private readonly page: Buffer;
  private checked = 0;

  constructor(
    private readonly fd: number,
    private readonly meta: Meta,
    private readonly pages: number,
    private readonly most: number,
  ) {
    this.seen = new Uint8Array(Math.ceil(pages / 8));
    this.page = Buffer.alloc(meta.pageBytes);
  }

  run(): { pages: number; whole: boolean } {
    let level = this.meta.roots.filter((root) => root < NO_PAGE);
    for (let depth = 0; level.length > 0; depth += 1) {
      // A named table is another tree, which begins in a leaf of the main tree.
      if (depth > 2 * MAX_DEPTH) throw new DamagedFile('its pages point to each other in a circle');
      const below: number[] = [];
      for (const page of level) {
        if (this.checked >= this.most) return { pages: this.checked, whole: false };
        this.visit(page, below);
      }
      level = below;
    }
    return { pages: this.checked, whole: true };
  }

  private visit(number: number, below: number[]): void {
    this.take(number, 1);
    if (readSync(this.fd, this.page, 0, this.meta.pageBytes, number * this.meta.pageBytes) < this.page.length)
      throw new DamagedFile(`it ends within page ${number}`);
    const { page } = this;
    const flags = page.readUInt16LE(18);
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    const room = page.length - HEADER_BYTES;
    const isTree = (flags & (PAGE_BRANCH | PAGE_LEAF)) !== 0 && (flags & (PAGE_META | PAGE_OVERFLOW)) === 0;
    if (number64(page, 0) !== number || !isTree || lower > upper || upper > room)
      throw new DamagedFile(`page ${number} is not a page of the store`);
    for (let i = 0; i < lower >> 1; i += 1) {
      const at = HEADER_BYTES + page.readUInt16LE(HEADER_BYTES + 2 * i);
      if (at < HEADER_BYTES + upper || at + NODE_BYTES > page.length) throw broken(number);
      if (flags & PAGE_BRANCH) below.push(this.childOf(at));
      else this.leaf(number, at, below);
    }
  }

  private childOf(at: number): number {
    return this.page.readUInt32LE(at) + this.page.readUInt16LE(at + 4) * 2 ** 32;
  }

  private leaf(number: number, at: number, below: number[]): void {
    const { page } = this;
    const bytes = page.readUInt32LE(at);
    const flags = page.readUInt16LE(at + 4);
    const data = at + NODE_BYTES + page.readUInt16LE(at + 6);
    const inPage = flags & NODE_OVERFLOW ? HEADER_BYTES : bytes;
    if (data + inPage > page.length) throw broken(number);
    if (flags & NODE_OVERFLOW) {
      this.overflow(number64(page, data), number64(page, data + 16));
    } else if (flags & NODE_TREE) {
      if (bytes !== TREE_BYTES) throw broken(number);
      const root = number64(page, data + 40);
      if (root < NO_PAGE) below.push(root);
    }
  }

  /** A value that is too large for a page of its tree. Only its first page has a header that can be checked. */
  private overflow(number: number, count: number): void {
    this.take(number, count);
    const header = read(this.fd, number * this.meta.pageBytes, HEADER_BYTES);
    if (number64(header, 0) !== number || !(header.readUInt16LE(18) & PAGE_OVERFLOW))
      throw new DamagedFile(`page ${number} is not a page of the store`);
  }

  private take(number: number, count: number): void {
    this.checked += 1;
    if (number < 2 || count < 1 || number + count - 1 > this.meta.lastPage)
      throw new DamagedFile(`it points to page ${number}, which it does not have`);
    if (number + count > this.pages)
      throw new DamagedFile(
        `it was cut off: it has ${this.pages} pages and page ${number + count - 1} is in use`,
      );
    const byte = this.seen[number >> 3];
    const bit = 1 << (number & 7);
    if (byte & bit) throw new DamagedFile(`page ${number} is in use twice`);
    this.seen[number >> 3] = byte | bit;
  }
}

function broken(number: number): DamagedFile {
  return new DamagedFile(`page ${number} contradicts itself`);
}

function read(fd: number, offset: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  if (readSync(fd, buffer, 0, bytes, offset) < bytes) throw new DamagedFile('it was cut off');
  return buffer;
}

function number64(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 2 ** 32;
}
