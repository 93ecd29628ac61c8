/** What is installed, what is shipped, and what the build says about it. Needs `npm run build`. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Ajv, type AnySchemaObject } from 'ajv';

const ROOT = resolve(__dirname, '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Licences of shipped packages. All of them allow use in another product, with a notice. */
const ACCEPTED = ['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT'];

/** Packages without a licence text. The first two are the binaries of lmdb and msgpackr-extract, which have one. */
const WITHOUT_TEXT = [/^@lmdb\/lmdb-/, /^@msgpackr-extract\//, /^weak-lru-cache$/];

interface Locked {
  version?: string;
  resolved?: string;
  integrity?: string;
  link?: boolean;
  dev?: boolean;
  optional?: boolean;
}

interface Component {
  type: string;
  'bom-ref': string;
  group?: string;
  name: string;
  version: string;
  scope: string;
  hashes?: { alg: string; content: string }[];
  licenses?: { license?: { id: string }; expression?: string }[];
  purl: string;
}

interface Sbom {
  bomFormat: string;
  specVersion: string;
  serialNumber: string;
  version: number;
  metadata: { component: Component };
  components: Component[];
  dependencies: { ref: string; dependsOn: string[] }[];
}

const lockOf = (file: string): Record<string, Locked> =>
  (JSON.parse(read(file)) as { packages: Record<string, Locked> }).packages;
const locked = lockOf('package-lock.json');
const nameOf = ({ group, name }: Component): string => (group === undefined ? name : `${group}/${name}`);

/** The paths of the packages whose files the source maps of the bundle name: another witness than the bundler's own list. */
function packagesInBundle(): string[] {
  const maps = readdirSync(join(ROOT, 'dist')).filter((file) => file.endsWith('.js.map'));
  const sources = maps.flatMap((file) => (JSON.parse(read(`dist/${file}`)) as { sources: string[] }).sources);
  const paths = sources.flatMap(
    (source) => /node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(source)?.[0] ?? [],
  );
  return [...new Set(paths)].sort();
}

describe.each(['package-lock.json', 'bench/package-lock.json'])('%s', (file) => {
  const entries = Object.entries(lockOf(file)).filter(([path, { link }]) => path !== '' && !link);

  it('has a SHA-512 for every package, also for those of other platforms', () => {
    expect(entries.length).toBeGreaterThan(100);
    const without = entries.filter(([, { integrity }]) => !/^sha512-[\w+/]{86}==$/.test(integrity ?? ''));
    expect(without.map(([path]) => path)).toEqual([]);
  });

  it('names no registry but the public one', () => {
    const others = entries.filter(
      ([, { resolved }]) => resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/'),
    );
    expect(others.map(([path]) => path)).toEqual([]);
  });
});

describe('an installation', () => {
  it.each(['.', 'bench'])('in %s runs no code of a package', (folder) => {
    const { PATH, HOME } = process.env;
    const config = execFileSync('npm', ['config', 'get', 'ignore-scripts'], {
      cwd: join(ROOT, folder),
      env: { PATH, HOME },
      encoding: 'utf8',
    });
    expect(config.trim()).toBe('true');
  });

  it('needs no scripts before or after its own: npm leaves them out', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const around = Object.keys(scripts).filter(
      (name) => scripts[name.replace(/^(pre|post)/, '')] !== undefined,
    );
    expect(around.filter((name) => /^(pre|post)/.test(name))).toEqual([]);
    expect(Object.keys(scripts).filter((name) => /^(pre|post)?(install|prepare|publish)/.test(name))).toEqual(
      [],
    );
  });
});

describe('dist/sbom.json', () => {
  const sbom = JSON.parse(read('dist/sbom.json')) as Sbom;
  const purls = sbom.components.map(({ purl }) => purl);

  it('has every package that is in the bundle, and every production dependency, and no other', () => {
    const bundled = packagesInBundle();
    expect(bundled).toEqual(expect.arrayContaining(['node_modules/express', 'node_modules/ioredis']));
    const beside = Object.keys(locked).filter((path) => path !== '' && !locked[path].dev);
    expect(beside).toEqual(expect.arrayContaining(['node_modules/lmdb', 'node_modules/swagger-ui-dist']));
    const expected = [...bundled, ...beside].map((path) => {
      const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
      return `pkg:npm/${name.replace('@', '%40')}@${locked[path].version}`;
    });
    expect([...purls].sort()).toEqual([...new Set(expected)].sort());
  });

  it('is valid by the schema of CycloneDX 1.6', () => {
    const folder = join(dirname(require.resolve('@cyclonedx/cyclonedx-library/package.json')), 'res/schema');
    const schemaOf = (name: string): AnySchemaObject =>
      JSON.parse(readFileSync(join(folder, `${name}.SNAPSHOT.schema.json`), 'utf8')) as AnySchemaObject;
    const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
    // The schema names the other two by the names of their files.
    for (const part of ['spdx', 'jsf-0.82']) {
      const $id = `http://cyclonedx.org/schema/${part}.SNAPSHOT.schema.json`;
      ajv.addSchema({ ...schemaOf(part), $id });
    }
    const validate = ajv.compile(schemaOf('bom-1.6'));
    expect([validate(sbom), validate.errors]).toEqual([true, null]);
    const [first, ...others] = sbom.components;
    for (const wrong of [
      { ...first, type: 'thing' },
      { ...first, licenses: [{ license: { id: 'MITT' } }] },
    ])
      expect(validate({ ...sbom, components: [wrong, ...others] })).toBe(false);
  });

  it('describes this service, and has references that exist', () => {
    expect(sbom).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.6', version: 1 });
    const { name, version } = JSON.parse(read('package.json')) as { name: string; version: string };
    expect(sbom.metadata.component).toMatchObject({ type: 'application', name, version });
    const refs = [sbom.metadata.component, ...sbom.components].map((one) => one['bom-ref']);
    expect(new Set(refs).size).toBe(refs.length);
    expect(sbom.dependencies.map(({ ref }) => ref).sort()).toEqual([...refs].sort());
    for (const { dependsOn } of sbom.dependencies) {
      expect(new Set(dependsOn).size).toBe(dependsOn.length);
      expect(dependsOn.filter((ref) => !refs.includes(ref))).toEqual([]);
    }
    expect(purls).toEqual([...purls].sort());
    for (const { type, scope, name, version } of sbom.components) {
      expect([name, type, version]).toEqual([name, 'library', expect.stringMatching(/^\d+\.\d+\.\d+/)]);
      expect(['required', 'optional']).toContain(scope);
    }
  });

  it('has the hash of the lock file for each package', () => {
    for (const component of sbom.components) {
      const entries = Object.entries(locked).filter(
        ([path, { version }]) =>
          path.endsWith(`node_modules/${nameOf(component)}`) && version === component.version,
      );
      const digests = entries.map(([, { integrity = '' }]) =>
        Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex'),
      );
      const [{ alg, content }] = component.hashes ?? [{ alg: '', content: '' }];
      expect([component.purl, alg, digests.includes(content)]).toEqual([component.purl, 'SHA-512', true]);
    }
  });

  it('has only licences that are accepted', () => {
    const licenceOf = ({ licenses: [first] = [] }: Component): string =>
      first?.license?.id ?? first?.expression ?? 'none';
    // Each part of an expression must be accepted, which is stricter than OR.
    const isAccepted = (licence: string): boolean =>
      licence
        .replaceAll(/[()]/g, '')
        .split(/ (?:AND|OR) /)
        .every((name) => ACCEPTED.includes(name));
    const others = sbom.components.filter((one) => !isAccepted(licenceOf(one)));
    expect(others.map((one) => `${one.purl}: ${licenceOf(one)}`)).toEqual([]);
  });
});

describe('dist/THIRD_PARTY_NOTICES', () => {
  const notices = read('dist/THIRD_PARTY_NOTICES');
  const installed = [
    ...packagesInBundle(),
    ...Object.keys(locked).filter((path) => path !== '' && !locked[path].dev),
  ].filter((path) => existsSync(join(ROOT, path)));

  it('has the name, the version and the texts of every package that is shipped', () => {
    expect(installed.length).toBeGreaterThan(50);
    const bare: string[] = [];
    for (const path of new Set(installed)) {
      const { name, version } = JSON.parse(read(`${path}/package.json`)) as { name: string; version: string };
      expect(notices).toContain(`\n${name} ${version}\nLicence: `);
      const texts = readdirSync(join(ROOT, path)).filter((file) =>
        /^(licen[cs]e|notice|copying)/i.test(file),
      );
      for (const file of texts)
        expect([path, notices.includes(read(`${path}/${file}`).trim())]).toEqual([path, true]);
      if (texts.length === 0) bare.push(name);
    }
    expect(bare.filter((name) => !WITHOUT_TEXT.some((known) => known.test(name)))).toEqual([]);
    expect(notices).toContain('The package has no licence text. Its author is Kris Zyp');
  });

  it('is in the image, with the SBOM and our own licence', () => {
    const dockerfile = read('Dockerfile');
    expect(dockerfile).toMatch(/^COPY --from=build .* \/app\/dist \.\/dist$/m);
    expect(dockerfile).toMatch(/^COPY .*LICENSE/m);
    expect(read('.dockerignore')).toContain('!LICENSE');
  });
});
