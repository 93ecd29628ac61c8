/** What an idle service needs: the time until it is ready, memory, and room on the disk. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from './compare.mjs';
import { ROOT, remove, startService, stop, temporaryFolder } from './processes.mjs';

const STARTS = 5;
const SETTLE_MS = 1000;
const LOOK_EVERY_MS = 5;
const MIB = 2 ** 20;

async function start() {
  const folder = temporaryFolder();
  const startedMs = performance.now();
  const service = await startService({ BRAIN_DATA_DIR: folder });
  while (!(await fetch(`${service.url}/readyz`)).ok) await sleep(LOOK_EVERY_MS);
  const seconds = (performance.now() - startedMs) / 1000;
  await sleep(SETTLE_MS);
  const rss = Number(execFileSync('ps', ['-o', 'rss=', '-p', service.child.pid])) / 1024;
  await stop(service);
  remove(folder);
  return { seconds, rss };
}

export async function coldStart() {
  const starts = [];
  for (let i = 0; i < STARTS; i += 1) starts.push(await start());
  const seconds = starts.map((one) => one.seconds);
  return {
    seconds: median(seconds),
    least: Math.min(...seconds),
    most: Math.max(...seconds),
    rss: Math.max(...starts.map((one) => one.rss)),
  };
}

function bytesOnDisk(folder) {
  let bytes = 0;
  for (const name of readdirSync(folder, { recursive: true })) {
    bytes += (lstatSync(join(folder, name)).blocks ?? 0) * 512;
  }
  return bytes;
}

/** Installs them from the lock, as the image does. The working copy also has the development dependencies. */
export function productionDependencies() {
  const folder = temporaryFolder();
  for (const file of ['package.json', 'package-lock.json'])
    copyFileSync(join(ROOT, file), join(folder, file));
  const args = ['ci', '--omit=dev', '--no-audit', '--no-fund', '--silent'];
  execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  const mib = bytesOnDisk(join(folder, 'node_modules')) / MIB;
  remove(folder);
  return mib;
}
