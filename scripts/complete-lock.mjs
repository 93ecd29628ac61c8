// Adds the optional packages of other platforms that are missing in package-lock.json.
// If the registry lacks their archives, `npm install` silently leaves them out of the lock, and `npm ci` then refuses the lock.
// Each gets the entry that npm would write: version, platform, licence and SHA-512, from the description of the package, which
// the registry has all the same. It fails if an entry has no SHA-512 in the end.
// Run it after every `npm install` that changed the lock. It is a no-op if nothing is missing.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { resolveFrom } from './lock-file.mjs';

const AT_ONCE = 4;
const FIELDS = ['cpu', 'engines', 'libc', 'license', 'os'];
const file = process.argv[2] ?? 'package-lock.json';
const lock = JSON.parse(readFileSync(file, 'utf8'));

for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    if (resolveFrom(lock.packages, path, name)) continue;
    const version = range.replace(/^[\^~]/, '');
    lock.packages[`node_modules/${name}`] = { version, ...(entry.dev && { dev: true }), optional: true };
  }
}

const incomplete = Object.entries(lock.packages).filter(
  ([path, entry]) => path && !entry.integrity && !entry.link,
);
const waiting = [...incomplete];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await complete(...next);
  }),
);

async function complete(path, entry) {
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  try {
    const { stdout } = await promisify(execFile)('npm', ['view', `${name}@${entry.version}`, '--json']);
    const { dist, ...described } = JSON.parse(stdout);
    const known = FIELDS.filter((field) => described[field] !== undefined).map((field) => [
      field,
      described[field],
    ]);
    const { version, ...flags } = { ...entry, ...Object.fromEntries(known) };
    const sorted = Object.entries(flags).sort(([a], [b]) => (a < b ? -1 : 1));
    lock.packages[path] = { version, integrity: dist.integrity, ...Object.fromEntries(sorted) };
  } catch (error) {
    console.error(`${name}@${entry.version}: ${error.message.split('\n')[0]}`);
  }
}

lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
const without = incomplete.filter(([path]) => !lock.packages[path].integrity).map(([path]) => path);
console.log(`${incomplete.length - without.length} packages completed in ${file}`);
if (without.length > 0) {
  console.error(`Without a SHA-512: ${without.join(', ')}`);
  process.exit(1);
}
