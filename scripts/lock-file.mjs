// Reads package-lock.json.
/** The key in the lock file of the package that `name` means in the package at `path`, as Node finds it; or undefined. */
export function resolveFrom(packages, path, name) {
  for (let at = path; ; ) {
    const key = `${at ? `${at}/` : ''}node_modules/${name}`;
    if (packages[key]) return key;
    if (at === '') return undefined;
    const cut = at.lastIndexOf('/node_modules/');
    at = cut < 0 ? '' : at.slice(0, cut);
  }
}
