/** The rules of ARCHITECTURE.md that a program can check: who may import whom, and the limits of size. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

const SRC = resolve(__dirname, '../src');
const CARRIERS = ['storage', 'events', 'security', 'http', 'shared'];
/** Files that are not production code. */
const OF_TESTS = /\.spec\.ts$|^storage\/contract\//;
/** Pure files, by their folder or their role. */
const PURE = /^policy\/(engine\/|authzen\/authzen\.ts)|\.(lifecycle|health)\.ts$/;

interface Source {
  path: string;
  folder: string;
  text: string;
  local: string[];
  packages: string[];
}

const sources: Source[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => {
    const text = readFileSync(join(SRC, path), 'utf8');
    const imports = [...text.matchAll(/^(?:import|export)\s[^;]*?from\s+'([^']+)'/gms)].map(
      (match) => match[1],
    );
    const local = imports
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(SRC, resolve(SRC, path, '..', name)).replace(/\.js$/, '.ts'));
    const packages = imports.filter((name) => !name.startsWith('.'));
    return { path, folder: path.includes('/') ? path.split('/')[0] : '', text, local, packages };
  });
const product = sources.filter(({ path }) => !OF_TESTS.test(path));
const domains = [...new Set(product.map(({ folder }) => folder))].filter(
  (f) => f !== '' && !CARRIERS.includes(f),
);

/** Every import of these sources that the rule does not allow, as `from -> to`. */
function strangers(of: Source[], allowed: (to: string, from: Source) => boolean): string[] {
  return of.flatMap((source) =>
    source.local.filter((to) => !allowed(to, source)).map((to) => `${source.path} -> ${to}`),
  );
}

/** Missions ask the policies before each step, and one kind of step records what the immune system notices. */
const CALLED_BY_MISSIONS = [
  'policy/policy.module.ts',
  'policy/decisions/policy.service.ts',
  'immune/immune.module.ts',
  'immune/immune.service.ts',
  'immune/immune.health.ts',
  'immune/immune.dto.ts',
];

describe('the architecture', () => {
  it('has sources and domains to check', () => {
    expect(product.length).toBeGreaterThan(30);
    expect(domains).toContain('threats');
  });

  it('lets a domain import shared code, the ports, EventStream, its own files, and the events of other domains', () => {
    const ports = [
      'storage/store.ts',
      'storage/event-log.ts',
      'storage/page.ts',
      'storage/retention.ts',
      'storage/followed-cache.ts',
      'events/event-stream.ts',
      'events/event.ts',
      'config/config.ts',
    ];
    const ofControllers = [
      'security/access.decorator.ts',
      'security/principal.ts',
      'http/request.ts',
      'http/answers.ts',
      'http/listed.ts',
      'http/etag.ts',
      'http/health.ts',
      'http/response-headers.ts',
    ];
    const allowed = (to: string, { folder, path }: Source): boolean =>
      to.startsWith(`${folder}/`) ||
      to.startsWith('shared/') ||
      ports.includes(to) ||
      (/\.(controller|interceptor|dto)\.ts$/.test(path) && ofControllers.includes(to)) ||
      (to.endsWith('.events.ts') && domains.includes(to.split('/')[0])) ||
      (folder === 'missions' && CALLED_BY_MISSIONS.includes(to));
    expect(
      strangers(
        product.filter(({ folder }) => domains.includes(folder)),
        allowed,
      ),
    ).toEqual([]);
  });

  it('keeps engines, life cycles and health functions pure, with everything that they import', () => {
    const pure = product.filter(({ path }) => PURE.test(path));
    expect(pure.length).toBeGreaterThan(0);
    const allowed = (to: string, { folder }: Source): boolean =>
      to.startsWith('shared/') || (to.startsWith(`${folder}/`) && (to.endsWith('.dto.ts') || PURE.test(to)));
    expect(strangers(pure, allowed)).toEqual([]);
    const impure = /Date\.now|new Date|performance\.|process\.|@nestjs|node:/;
    expect(pure.filter(({ text }) => impure.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it('lets storage, events, security and http import no domain', () => {
    const carriers = product.filter(({ folder }) => CARRIERS.includes(folder));
    expect(
      strangers(carriers, (to) => to === 'config/config.ts' || CARRIERS.includes(to.split('/')[0])),
    ).toEqual([]);
    const shared = product.filter(({ folder }) => folder === 'shared');
    expect(strangers(shared, (to) => to.startsWith('shared/'))).toEqual([]);
    const storage = product.filter(({ folder }) => folder === 'storage');
    expect(strangers(storage, (to) => to === 'config/config.ts' || /^(storage|shared)\//.test(to))).toEqual(
      [],
    );
  });

  it('lets only storage/redis import ioredis, and only storage/embedded lmdb', () => {
    const importers = (name: string): string[] =>
      product.filter(({ packages }) => packages.some((one) => one === name)).map(({ path }) => path);
    expect(importers('ioredis').filter((path) => !path.startsWith('storage/redis/'))).toEqual([]);
    expect(importers('lmdb').filter((path) => !path.startsWith('storage/embedded/'))).toEqual([]);
  });

  it('reads the environment in one place', () => {
    const readers = product.filter(({ text }) => text.includes('process.env')).map(({ path }) => path);
    // main.ts hands the environment to config.ts, which alone knows what is in it.
    expect(readers).toEqual(['main.ts']);
  });

  it('has no cycles', () => {
    const edges = new Map(product.map(({ path, local }) => [path, local]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: string[]): void => {
      if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      if (done.has(path) || trail.includes(path)) return;
      for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
      done.add(path);
    };
    for (const path of edges.keys()) visit(path, []);
    expect(cycles).toEqual([]);
  });

  it('has no barrels, no forwardRef, no thrown HttpException, and nothing deeper than two folders', () => {
    expect(product.filter(({ path }) => /(^|\/)index\.ts$/.test(path)).map(({ path }) => path)).toEqual([]);
    expect(product.filter(({ path }) => path.split('/').length > 3).map(({ path }) => path)).toEqual([]);
    expect(product.filter(({ text }) => text.includes('forwardRef(')).map(({ path }) => path)).toEqual([]);
    const thrown = product
      .filter(({ text }) => /throw new \w*Exception\(/.test(text))
      .map(({ path }) => path);
    expect(thrown).toEqual([]);
  });

  it('injects EventStream as a value, and always as optional', () => {
    const injecting = product.filter(
      ({ text }) => /@Inject\(EventStream\)/.test(text) && /Service\b/.test(text),
    );
    for (const { path, text } of injecting) {
      expect([path, /import \{[^}]*type EventStream/.test(text)]).toEqual([path, false]);
      expect([path, /@Optional\(\) @Inject\(EventStream\)/.test(text)]).toEqual([path, true]);
    }
    expect(injecting.map(({ path }) => path)).toContain('threats/threats.service.ts');
  });

  it('has no file of more than 400 lines', () => {
    const large = product.filter(({ text }) => text.split('\n').length > 400).map(({ path }) => path);
    expect(large).toEqual([]);
  });

  it('has a test for each sentence of "What must be true" in ARCHITECTURE.md', () => {
    const root = resolve(SRC, '..');
    const page = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
    const [, list = ''] = page.split('## What must be true');
    const sentences = list.split(/^\d+\. /m).slice(1);
    expect(sentences.length).toBeGreaterThan(10);
    for (const sentence of sentences) {
      const named = [...sentence.matchAll(/`((?:test|src)\/[\w./-]+\.ts)`/g)].map(([, path]) => path);
      expect([sentence, named.length > 0]).toEqual([sentence, true]);
      expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    }
  });
});
