/** Opens the engine on a data folder that is locked and checked, and creates its first store. */
import { getSystemErrorName } from 'node:util';
import { type Database, open, type RootDatabase } from 'lmdb';
import { BrainError, messageOf } from '../../shared/errors.js';
import type { DataFolder } from './data-folder.js';
import { causeOf, isShortWrite, type Key, Table, type TableStats } from './table.js';

export type Root = RootDatabase<string, Key>;
export type RootStats = TableStats & {
  lastPageNumber: number;
  pageSize: number;
  lastTxnId: number;
  free: TableStats;
};

export interface Tables {
  docs: Table;
  index: Table;
  uniques: Table;
  counts: Table<number>;
  entries: Table;
  log: Table;
  evidence: Table;
  logIndex: Table;
  meta: Table;
}

const MIB = 2 ** 20;
/**
 * The format of the tables. Since 2 a row of the log has the names of its index entries. Since 3 the older events of the log may
 * be in the table `evidence`. The start raises an older store to this format: its rows stay readable, and a release that would
 * misread the new rows refuses the store.
 */
const FORMAT = 3;
const FORMAT_KEY: Key = ['format'];
/** The error number of the system for a map that does not fit into the address space. */
const ENOMEM = 12;

export function openEngine(path: string, maxBytes: number): Root {
  const options = {
    path,
    maxDbs: 12,
    encoding: 'string' as const,
    // The map has its final size from the start. Otherwise the engine doubles it without a bound.
    mapSize: Math.ceil(maxBytes / MIB) * MIB,
    // Otherwise each commit has a second promise without a handler, and its rejection ends the process.
    eventTurnBatching: false,
    // Open the state of the last flush. Later commits may be incomplete on disk.
    safeRestore: true,
    permissionsMode: 0o600,
  };
  return open<string, Key>(options);
}

export function openTables(root: Root): Tables {
  const table = (name: string): Table => new Table(root.openDB<string, Key>({ name, encoding: 'string' }));
  return {
    docs: table('docs'),
    index: table('index'),
    uniques: table('uniques'),
    counts: new Table(root.openDB<number, Key>({ name: 'counts', encoding: 'json' })),
    entries: table('entries'),
    log: table('log'),
    evidence: table('evidence'),
    logIndex: table('log-index'),
    meta: table('meta'),
  };
}

/** Creates all tables, so that the next open writes nothing. */
export async function createStore(folder: DataFolder): Promise<void> {
  try {
    folder.reserveEngineLock(folder.unfinished);
    const root = openEngine(folder.unfinished, 64 * MIB);
    await writeFormat(root, openTables(root));
    await root.close();
  } catch (error) {
    throw refusal(await causeOf(error), folder);
  }
  folder.adopt();
}

export async function openStore(
  folder: DataFolder,
  maxBytes: number,
): Promise<{ root: Root; tables: Tables }> {
  const { root, format, tables } = await openTablesOf(folder, maxBytes);
  try {
    if (format < FORMAT) await writeFormat(root, tables);
  } catch (error) {
    // The root stays open. After a failed flush its close would wait for ever.
    throw refusal(await causeOf(error), folder);
  }
  return { root, tables };
}

async function openTablesOf(
  folder: DataFolder,
  maxBytes: number,
): Promise<{ root: Root; format: number; tables: Tables }> {
  let root: Root | undefined;
  try {
    folder.reserveEngineLock(folder.file);
    root = openEngine(folder.file, maxBytes);
    return { root, format: formatOf(root, folder), tables: openTables(root) };
  } catch (error) {
    await root?.close();
    throw refusal(error, folder);
  }
}

async function writeFormat(root: Root, { meta }: Tables): Promise<void> {
  await root.transaction(() => meta.putSync(FORMAT_KEY, String(FORMAT)));
  await root.flushed;
}

/** Refuses a file that is not a store, or that has a later format. */
function formatOf(root: Root, folder: DataFolder): number {
  // A missing table is not created: a file of another program must stay as it is.
  const options = { name: 'meta', encoding: 'string' as const, create: false };
  const meta = root.openDB<string, Key>(options) as Database<string, Key> | undefined;
  const format = meta?.get(FORMAT_KEY);
  if (format === undefined) throw folder.damaged('it is not a store of this service');
  if (Number(format) <= FORMAT) return Number(format);
  const detail = `The data file ${folder.file} was written by a later release (format ${format}). Start that release.`;
  throw new BrainError('unavailable', 'data_file_newer', detail);
}

/** Errors of the engine have numbers. Positive numbers are errors of the system, the others its own. */
function refusal(error: unknown, folder: DataFolder): Error {
  const code = (error as { code?: unknown }).code;
  if (!(error instanceof Error) || typeof code !== 'number') return folder.refusal(error);
  if (code === ENOMEM) {
    const detail =
      'The address space is too small for BRAIN_EMBEDDED_MAX_GIB. Lower that setting, or raise the limit (ulimit -v).';
    return new BrainError('unavailable', 'data_folder_unusable', detail, { cause: error });
  }
  if (code <= 0) return folder.damaged(messageOf(error), error);
  const name = isShortWrite(code, error.message) ? 'ENOSPC' : getSystemErrorName(-code);
  return folder.refusal(Object.assign(new Error(error.message), { code: name }));
}
