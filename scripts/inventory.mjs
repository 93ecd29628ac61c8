// What the build ships: the packages whose code is in the bundle, and those that run beside it. From the same list come
// dist/sbom.json (CycloneDX 1.6) and dist/THIRD_PARTY_NOTICES. rolldown.config.mjs calls it with the modules of the bundle.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { resolveFrom } from './lock-file.mjs';
import { sbomOf } from './sbom.mjs';

const LEGAL = /^(licen[cs]e|notice|copying|copyright|third.?party.?notices)/i;

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** The path of the package that a module is from, as package-lock.json has it; undefined for our own modules. */
function packagePathOf(module, root = process.cwd()) {
  // A plugin may put something before the path or behind it; its own modules have no path.
  const path = relative(root, module.replace(/^\0/, '').replace(/\?.*$/, '')).split(sep).join('/');
  return /node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
}

/**
 * Every shipped package, ordered by name and version. `bundled` are the paths of the packages in the bundle. The others are
 * the production dependencies, also those that npm installs only on another platform.
 */
function shippedPackages(bundled, root = process.cwd()) {
  const { packages } = readJson(join(root, 'package-lock.json'));
  const beside = Object.keys(packages).filter((path) => path !== '' && !packages[path].dev);
  return [...new Set([...bundled, ...beside])]
    .map((path) => shippedPackage(path, packages, { isBundled: bundled.has(path), root }))
    .sort((a, b) => (a.purl < b.purl ? -1 : 1));
}

function shippedPackage(path, packages, { isBundled, root }) {
  const locked = packages[path];
  if (!locked) throw new Error(`${path} is in the bundle and not in package-lock.json; run npm ci.`);
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const folder = join(root, path);
  const isInstalled = existsSync(join(folder, 'package.json'));
  const own = isInstalled ? readJson(join(folder, 'package.json')) : {};
  if (isInstalled && own.version !== locked.version)
    throw new Error(`${path} has version ${own.version}, package-lock.json ${locked.version}; run npm ci.`);
  return {
    path,
    name,
    version: locked.version,
    purl: `pkg:npm/${name.replace('@', '%40')}@${locked.version}`,
    license: licenseOf(own) ?? locked.license,
    author: typeof own.author === 'object' ? own.author?.name : own.author,
    integrity: locked.integrity,
    isBundled,
    isOptional: locked.optional === true,
    isInstalled,
    dependencies: dependenciesOf(path, packages),
    texts: isInstalled ? legalTexts(folder) : [],
  };
}

/** Old packages have an object, or a list of them. */
function licenseOf({ license, licenses }) {
  if (typeof license === 'string') return license;
  const types = [license, licenses].flat().flatMap((one) => one?.type ?? []);
  return types.length === 0 ? undefined : types.join(' OR ');
}

function dependenciesOf(path, packages) {
  const { dependencies, optionalDependencies } = packages[path];
  const names = Object.keys({ ...dependencies, ...optionalDependencies });
  return names.map((name) => resolveFrom(packages, path, name)).filter((found) => found !== undefined);
}

function legalTexts(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && LEGAL.test(entry.name) && !/\.[cm]?[jt]s$/.test(entry.name))
    .map(({ name }) => ({ file: name, text: readFileSync(join(folder, name), 'utf8').trim() }))
    .sort((a, b) => (a.file < b.file ? -1 : 1));
}

const RULE = '='.repeat(80);

/** The names, versions and licence texts of everything that this installation ships. */
function noticesOf(shipped) {
  const head =
    'This product contains or uses these packages. Their licences and notices follow, as the packages have them.';
  const parts = shipped.filter(({ isInstalled }) => isInstalled).map(noticeOf);
  return `${[head, ...new Set(parts)].join('\n\n')}\n`;
}

function noticeOf({ name, version, license, author, texts }) {
  const bare = `The package has no licence text. Its author is ${author ?? 'not named'}.`;
  const legal = texts.length > 0 ? texts.map(({ text }) => text) : [bare];
  return [`${RULE}\n${name} ${version}\nLicence: ${license}`, ...legal].join('\n\n');
}

/** Writes both files. @param modules the ids of the modules whose code is in the bundle */
export function writeInventory(modules, folder) {
  const bundled = new Set(modules.map((module) => packagePathOf(module)).filter(Boolean));
  const shipped = shippedPackages(bundled);
  writeFileSync(
    join(folder, 'sbom.json'),
    `${JSON.stringify(sbomOf(shipped, readJson('package.json')), null, 2)}\n`,
  );
  writeFileSync(join(folder, 'THIRD_PARTY_NOTICES'), noticesOf(shipped));
}
