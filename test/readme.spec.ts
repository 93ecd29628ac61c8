/** The commands and requests in the README and in docs/ work on the service. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { compile } from '../src/policy/engine/compile.js';
import { decide } from '../src/policy/engine/decide.js';
import type { Operator } from '../src/policy/engine/policy.dto.js';
import { type Permission, permits, ROLES } from '../src/security/principal.js';
import { RedisKeys } from '../src/storage/redis/keys.js';
import { THREATS } from '../src/threats/threats.collection.js';
import { curlRequests } from './support/curl.js';
import { temporaryFolder } from './support/folder.js';
import { ServiceProcess } from './support/process.js';
import { ADMIN, startService } from './support/service.js';

const ROOT = resolve(__dirname, '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const README = read('README.md');
const PAGES = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'EVENTS.md'];
const pages = PAGES.concat(
  readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => `docs/${path}`),
);

/** The only block of this language in the README. */
function blockOf(language: string): string {
  const blocks = [...README.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))];
  if (blocks.length !== 1) throw new Error(`README has ${blocks.length} blocks of ${language}`);
  return blocks[0][1];
}

/** Without this service's own settings; the child answers while servers of this process must do so, too. */
function run(command: string, args: string[], env: Record<string, string>): Promise<[number | null, string]> {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^BRAIN_|^KEY$/.test(name)));
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...own, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString('utf8');
  });
  child.stderr.on('data', (bytes: Buffer) => {
    text += bytes.toString('utf8');
  });
  return new Promise((done) => child.once('close', (code) => done([code, text])));
}

describe('README', () => {
  const folder = temporaryFolder();
  let service: ServiceProcess;
  beforeAll(async () => {
    service = await ServiceProcess.start({ BRAIN_DATA_DIR: folder.path });
  });
  afterAll(async () => {
    await service.stop();
    folder.remove();
  });

  it('has a tour that runs without changes', async () => {
    const tour = blockOf('bash');
    const [code, output] = await run('bash', ['-euo', 'pipefail', '-c', tour], {
      BRAIN_URL: service.url,
      KEY: ADMIN,
    });
    expect([code, output]).toEqual([0, output]);
    const answers = [...output.matchAll(/"allowed":(\w+)/g)].map(([, allowed]) => allowed);
    expect(answers.slice(0, 2)).toEqual(['false', 'true']);
    expect(output).toContain('"status":"MITIGATED"');
    const [, events = ''] = output.split('"status":"MITIGATED"');
    for (const type of ['threat.detected', 'threat.status_changed', 'threat.mitigated']) {
      expect(events).toContain(`"type":"${type}"`);
      expect(events).toContain(`event: ${type}`);
    }
    expect(output).not.toContain('urn:brain:problem');
  });

  it('has agents in TypeScript and Python that treat anything but a yes as a no', async () => {
    const liar = createServer((_request, response) => response.end('{"allowed": "true"}'));
    await new Promise<void>((done) => liar.listen(0, '127.0.0.1', done));
    const lies = `http://127.0.0.1:${(liar.address() as AddressInfo).port}`;
    const { outputText, diagnostics } = ts.transpileModule(blockOf('ts'), {
      reportDiagnostics: true,
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    expect(diagnostics).toEqual([]);
    const script = join(folder.path, 'agent.mjs');
    writeFileSync(
      script,
      `${outputText}\nconsole.log(await mayI('doc.read', 'doc:7'), await mayI('doc.delete', 'doc:7'));`,
    );
    const python = blockOf('python');
    const pythonScript = join(folder.path, 'agent.py');
    writeFileSync(
      pythonScript,
      `${python}\nprint(str(may_i("doc.read", "doc:7")).lower(), str(may_i("doc.delete", "doc:7")).lower())`,
    );
    // A machine without Python reads it: the answer must be the value true, and an error a no.
    expect(python).toMatch(/\.get\("allowed"\) is True\n\s+except Exception:\n\s+return False/);
    const hasPython = spawnSync('python3', ['--version']).status === 0;
    const agents = [[process.execPath, script], ...(hasPython ? [['python3', pythonScript]] : [])];
    for (const [command, file] of agents) {
      for (const [url, key, answer] of [
        [service.url, ADMIN, 'true false'],
        [service.url, 'a-wrong-key', 'false false'],
        [lies, ADMIN, 'false false'],
        ['http://127.0.0.1:1', ADMIN, 'false false'],
      ]) {
        const [code, output] = await run(command, [file], { BRAIN_URL: url, BRAIN_KEY: key });
        expect([command, url, code, output]).toEqual([command, url, 0, `${answer}\n`]);
      }
    }
    await new Promise((done) => liar.close(done));
  });
});

describe('the documents', () => {
  it('name only files that exist', () => {
    const missing = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
        .map(([, target]) => target)
        .filter((target) => !/^https?:/.test(target) && !existsSync(join(ROOT, dirname(page), target)))
        .map((target) => `${page}: ${target}`),
    );
    expect(missing).toEqual([]);
  });

  it('name only source files that exist', () => {
    const missing = pages.flatMap((page) =>
      [...read(page).matchAll(/`((?:src|test|bench|scripts|policies)\/[\w./-]*)`/g)]
        .map(([, path]) => path)
        .filter((path) => !existsSync(join(ROOT, path)))
        .map((path) => `${page}: ${path}`),
    );
    expect(missing).toEqual([]);
  });

  it('have requests that the service accepts', async () => {
    const service = await startService();
    const url = await service.app.getUrl();
    for (const page of ['threats', 'immune', 'missions', 'access']) {
      // The id of the last answer that has one, as its reader would take it over.
      let id = '';
      for (const one of curlRequests(read(`docs/${page}.md`), { KEY: ADMIN, ID: '<id>' })) {
        const { method, path, headers, body } = one;
        const answer = await fetch(url + path.replace('<id>', id), { method, headers, body });
        const text = await answer.text();
        expect([page, one.line, answer.ok, text]).toEqual([page, one.line, true, text]);
        id = /"id":"([^"]*)"/.exec(text)?.[1] ?? id;
      }
    }
    const [anonymous, wrong] = curlRequests(read('docs/api.md').replaceAll('curl -i', 'curl'), {
      KEY: ADMIN,
    });
    expect((await fetch(url + anonymous.path)).status).toBe(401);
    const { method, headers, body } = wrong;
    const problem = (await (await fetch(url + wrong.path, { method, headers, body })).json()) as object;
    const shown = /```json\n(.*?)```/s.exec(read('docs/api.md').slice(wrong.end))?.[1] ?? '';
    expect({ ...problem, request_id: '' }).toEqual({ ...(JSON.parse(shown) as object), request_id: '' });
    await service.stop();
  });

  it('name every key in Redis', () => {
    const page = read('docs/redis.md');
    const keys = new RedisKeys('brain');
    const named = [
      keys.stream,
      keys.document(THREATS, '<id>'),
      keys.ids(THREATS),
      keys.stats(THREATS),
      keys.collections,
      keys.fences,
      keys.barrier,
      keys.terms,
      keys.transaction('<id>'),
      keys.sequence('<name>'),
      `${keys.eventIndex}<name>`,
    ];
    expect(named.filter((key) => !page.includes(`\`${key}\``))).toEqual([]);
    const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !/\.spec\.ts$|^storage\/contract\//.test(path))
      .map((path) => read(`src/${path}`));
    const collections = sources.flatMap((text) => [...text.matchAll(/name: '(\w+)',\n\s+item: '(\w+)'/g)]);
    expect(collections.length).toBeGreaterThan(10);
    const missing = collections.filter(
      ([, name, item]) =>
        !page.includes(`| \`${name}\` | \`${item}\` |`) && !page.includes(`brain:${name}:${item}:`),
    );
    expect(missing.map(([, name]) => name)).toEqual([]);
  });

  it('describe each operator as it works', () => {
    const row = /^\| `([^`]+)` \| `([^`]+)` \| (?:`([^`]+)`|missing) \| (yes|no) \|$/gm;
    const rows = [...read('docs/policy.md').replaceAll('\\|', '\u0000').matchAll(row)];
    expect(rows.length).toBeGreaterThan(25);
    const json = (text: string): unknown => JSON.parse(text.replaceAll('\u0000', '|'));
    for (const [line, operator, value, actual, holds] of rows) {
      const condition = { field: 'params.x', operator: operator as Operator, value: json(value) };
      const about = { name: 'n', description: '', enabled: true, metadata: {} };
      const rule = { ...about, rule_id: 'r', effect: 'allow', conditions: [condition], priority: 0 } as const;
      const policy = {
        ...about,
        policy_id: 'p',
        version: '1',
        rules: [rule],
        default_effect: 'deny',
      } as const;
      const request = { agent_id: 'a', action: 'b', params: actual === undefined ? {} : { x: json(actual) } };
      const snapshot = compile([{ ...policy, rules: [{ ...rule, conditions: [condition] }] }]);
      expect([line, decide(snapshot, request).allowed]).toEqual([line, holds === 'yes']);
    }
  });

  it('describe each role with its permissions', () => {
    const rows = [...read('docs/access.md').matchAll(/^\| `(\w+:\w+)` \|[^|]*\|([^\n]*)\|$/gm)];
    for (const [, name, marks] of rows) {
      const said = marks.split('|').map((mark) => mark.trim() === 'yes');
      expect([name, said]).toEqual([name, ROLES.map((role) => permits(role, name as Permission))]);
    }
    const ofRoutes = [...read('openapi.json').matchAll(/"x-permission": "([^"]+)"/g)].map(([, name]) => name);
    const named = rows.map(([, name]) => name);
    expect(ofRoutes.length).toBeGreaterThan(0);
    expect(ofRoutes.filter((name) => !named.includes(name))).toEqual([]);
  });

  it('name the version of Node that the service needs', () => {
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    expect(README).toContain(`Node ${engines.node.replace('>=', '')} or newer`);
  });

  it('have a README of limited length', () => {
    expect(README.split('\n').length - 1).toBeLessThanOrEqual(150);
  });
});
