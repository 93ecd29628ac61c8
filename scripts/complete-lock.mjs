// Adds the optional packages of other platforms that are missing in package-lock.json.
// If the registry lacks them, `npm install` silently leaves them out of the lock, and `npm ci` then refuses the lock.
// Each gets an entry with version and platform, and without integrity: npm skips it by its platform, or fetches it.
// Run it after every `npm install` that changed the lock. It is a no-op if nothing is missing.
import { readFileSync, writeFileSync } from 'node:fs';

const file = process.argv[2] ?? 'package-lock.json';
const lock = JSON.parse(readFileSync(file, 'utf8'));

/** The lock key under which Node would resolve `name` from the package at `path`, or undefined. */
function resolve(path, name) {
  for (let at = path; ; ) {
    const key = `${at ? `${at}/` : ''}node_modules/${name}`;
    if (lock.packages[key]) return key;
    if (at === '') return undefined;
    const cut = at.lastIndexOf('/node_modules/');
    at = cut < 0 ? '' : at.slice(0, cut);
  }
}

function platform(name) {
  const os = /(android|darwin|freebsd|openbsd|netbsd|linux|win32|aix|openharmony|sunos)/.exec(name)?.[1];
  const cpu = /(arm64|x64|ia32|arm|ppc64|s390x|riscv64|loong64|wasm32)/.exec(name)?.[1];
  return { ...(cpu && { cpu: [cpu] }), ...(os && { os: [os] }) };
}

let filled = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    if (resolve(path, name)) continue;
    lock.packages[`node_modules/${name}`] = {
      version: range.replace(/^[\^~]/, ''),
      ...(entry.dev && { dev: true }),
      optional: true,
      ...platform(name),
    };
    filled += 1;
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${filled} missing optional packages added to ${file}`);
