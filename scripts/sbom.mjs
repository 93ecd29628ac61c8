// The list of what the build ships as CycloneDX 1.6, for scanners and audits.
import { createHash } from 'node:crypto';

const ALGORITHMS = { sha1: 'SHA-1', sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' };

/** The same build makes the same document: it has no time, and its serial number comes from its content. */
export function sbomOf(shipped, { name, version, license, description }) {
  const main = { type: 'application', 'bom-ref': 'main', name, version, description };
  const purls = new Map(shipped.map(({ path, purl }) => [path, purl]));
  const document = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { component: { ...main, licenses: licensesOf(license), purl: `pkg:npm/${name}@${version}` } },
    components: components(shipped),
    dependencies: [{ ref: 'main', dependsOn: [...new Set(purls.values())] }, ...edges(shipped, purls)],
  };
  const { bomFormat, specVersion, ...rest } = document;
  return { bomFormat, specVersion, serialNumber: serialNumberOf(document), ...rest };
}

/** A package that is installed at several paths is one component. */
function components(shipped) {
  const made = new Map();
  for (const one of shipped) {
    const [scope, plain] = one.name.startsWith('@') ? one.name.split('/') : [undefined, one.name];
    const component = {
      type: 'library',
      'bom-ref': one.purl,
      ...(scope && { group: scope }),
      name: plain,
      version: one.version,
      scope: one.isOptional && !one.isBundled ? 'optional' : 'required',
      ...(one.integrity && { hashes: hashesOf(one.integrity) }),
      ...(one.license && { licenses: licensesOf(one.license) }),
      purl: one.purl,
      properties: [{ name: 'brain:shipped', value: one.isBundled ? 'in the bundle' : 'beside the bundle' }],
    };
    if (!made.has(one.purl)) made.set(one.purl, component);
  }
  return [...made.values()];
}

function edges(shipped, purls) {
  const made = new Map(shipped.map(({ purl }) => [purl, new Set()]));
  for (const { purl, dependencies } of shipped)
    for (const path of dependencies) if (purls.has(path)) made.get(purl).add(purls.get(path));
  return [...made].map(([ref, dependsOn]) => ({ ref, dependsOn: [...dependsOn].sort() }));
}

function licensesOf(license) {
  return / (AND|OR|WITH) /.test(license) ? [{ expression: license }] : [{ license: { id: license } }];
}

function hashesOf(integrity) {
  return integrity.split(/\s+/).map((one) => {
    const [algorithm, digest] = one.split(/-(.*)/);
    return { alg: ALGORITHMS[algorithm], content: Buffer.from(digest, 'base64').toString('hex') };
  });
}

function serialNumberOf(document) {
  const hex = createHash('sha256').update(JSON.stringify(document)).digest('hex');
  const variant = ((Number.parseInt(hex[16], 16) & 3) | 8).toString(16);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, variant + hex.slice(17, 20)];
  return `urn:uuid:${[...parts, hex.slice(20, 32)].join('-')}`;
}
