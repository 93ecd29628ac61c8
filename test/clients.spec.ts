/**
 * The types that a generator makes from openapi.json. The requests in the documents compile as bodies of their operations, and
 * real answers compile as answers.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { curlRequests } from './support/curl.js';
import { serviceOn, startEmbedded } from './support/stores.js';

const ROOT = resolve(__dirname, '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const document = JSON.parse(read('openapi.json')) as { paths: Record<string, object> };

interface Sent {
  where: string;
  method: string;
  path: string;
  body: string;
}

/** What the tour of the README sends. */
const ofTour = [...read('README.md').matchAll(/brain (POST|PUT) "?(\/[^\s"]+)"? -d '([^']*)'/g)].map(
  ([, method, path, body]): Sent => ({ where: 'README.md', method, path, body }),
);
const ofPages = readdirSync(join(ROOT, 'docs'))
  .filter((page) => page.endsWith('.md') && read(`docs/${page}`).includes('curl -X'))
  .flatMap((page) =>
    curlRequests(read(`docs/${page}`).replaceAll('curl -i', 'curl'), { KEY: 'key', ID: 'id' })
      .filter(({ body, headers }) => body !== undefined && headers['Content-Type'] === 'application/json')
      .map(({ method, path, body = '' }): Sent => ({ where: `docs/${page}`, method, path, body })),
  );

/** The path as the document has it, with the names of its parameters. */
function templateOf(path: string): string {
  const [plain = ''] = path.split('?');
  const found = Object.keys(document.paths).find((template) =>
    new RegExp(`^${template.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`).test(plain),
  );
  if (found === undefined) throw new Error(`openapi.json has no path for ${path}`);
  return found;
}

const HELPERS = `
import type { paths } from './openapi';
type Content<T> = T extends { content: { 'application/json': infer Body } } ? Body : never;
type Sent<P extends keyof paths, M extends keyof paths[P]> =
  paths[P][M] extends { requestBody?: infer Body } ? Content<NonNullable<Body>> : never;
type Answered<P extends keyof paths, M extends keyof paths[P], S extends number> =
  paths[P][M] extends { responses: infer All } ? S extends keyof All ? Content<All[S]> : never : never;
`;

/** Made with the usual options of the generator, as its users run it. Some of its modules cannot be required here. */
function generatedTypes(): string {
  const generator = join(ROOT, 'node_modules/openapi-typescript/bin/cli.js');
  return execFileSync(process.execPath, [generator, join(ROOT, 'openapi.json')], { encoding: 'utf8' });
}

/** The faults that the compiler finds in a file that can import the generated types, each with its line. */
function faultsOf(text: string): string[] {
  // The smallest library: the types need no more, and a larger one takes seconds to read.
  const options: ts.CompilerOptions = { strict: true, noEmit: true, lib: ['lib.es5.d.ts'], types: [] };
  const files: Record<string, string> = { '/openapi.ts': generatedTypes(), '/use.ts': HELPERS + text };
  const host = ts.createCompilerHost(options);
  const program = ts.createProgram(Object.keys(files), options, {
    ...host,
    fileExists: (name) => name in files || host.fileExists(name),
    readFile: (name) => files[name] ?? host.readFile(name),
    getSourceFile: (name, target, ...others) =>
      name in files
        ? ts.createSourceFile(name, files[name], target)
        : host.getSourceFile(name, target, ...others),
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const line = file ? file.text.slice(0, start).split('\n').length : 0;
    const source = file?.text.split('\n')[line - 1]?.slice(0, 200) ?? '';
    return `${source}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
}

describe('the types that openapi-typescript makes', () => {
  const service = serviceOn(startEmbedded);
  it('describe real answers', async () => {
    const lines: string[] = [];
    const ask = async (method: 'get' | 'post' | 'put', path: string, status: number, body?: object) => {
      const answer = await (method === 'get' ? service.get(path) : service[method](path, body));
      expect([path, answer.status]).toEqual([path, status]);
      const type = `Answered<'${templateOf(path)}', '${method}', ${status}>`;
      lines.push(`export const answer${lines.length}: ${type} = ${JSON.stringify(answer.body)};`);
      return answer.body as { id: string };
    };
    for (const { method, path, body } of ofTour.slice(0, 4)) {
      const status = /policies|threats/.test(path) ? 201 : 200;
      await ask(method.toLowerCase() as 'post', path, status, JSON.parse(body) as object);
    }
    await ask('put', '/api/policy/policies/research', 200, { enabled: false });
    await ask('get', '/api/policy/policies', 200);
    await ask('get', '/api/policy/policies/research/revisions', 200);
    await ask('post', '/api/policy/evaluate?explain=true', 200, { agent_id: 'a', action: 'b' });
    await ask('post', '/api/policy/evaluate/batch', 200, { evaluations: [{ agent_id: 'a', action: 'b' }] });
    const mission = await ask('post', '/api/missions', 201, {
      name: 'M',
      steps: [{ name: 'w', kind: 'wait', params: { seconds: 1 } }],
    });
    await ask('get', `/api/missions/${mission.id}`, 200);
    await ask('get', '/api/threats', 200);
    await ask('post', '/api/immune/event', 200, { severity: 'INFO', type: 'ERROR_SPIKE', message: 'm' });
    await ask('get', '/api/immune/events', 200);
    await ask('post', '/api/keys', 201, { name: 'reader-1', role: 'agent' });
    await ask('get', '/api/keys', 200);
    await ask('get', '/api/keys/self', 200);
    await ask('get', '/api/events', 200);
    const evaluation = {
      subject: { type: 't', id: 'a' },
      action: { name: 'b' },
      resource: { type: 't', id: 'c' },
    };
    await ask('post', '/access/v1/evaluation', 200, evaluation);
    await ask('post', '/access/v1/evaluations', 200, { ...evaluation, evaluations: [{}, { action: {} }] });
    expect(faultsOf(lines.join('\n'))).toEqual([]);
  });

  it('accept every request of the documents', () => {
    expect([ofTour.length, ofPages.length > 12]).toEqual([5, true]);
    // What is wrong on purpose is on the page about errors.
    const sent = [...ofTour, ...ofPages].filter(({ where }) => where !== 'docs/api.md');
    const lines = sent.map(({ where, method, path, body }, i) => {
      const type = `Sent<'${templateOf(path)}', '${method.toLowerCase()}'>`;
      return `// ${where}\nexport const sent${i}: ${type} = ${JSON.stringify(JSON.parse(body))};`;
    });
    expect(faultsOf(lines.join('\n'))).toEqual([]);
  });

  it('refuse what the service refuses', () => {
    const wrong = [
      `export const a: Sent<'/api/policy/policies', 'post'> = { rules: [] };`,
      `export const b: Sent<'/api/policy/policies', 'post'> = { name: 'P', rules: [{ name: 'R' }] };`,
      `export const c: Sent<'/api/policy/policies', 'post'> = { name: 'P', other: 1 };`,
      `export const d: Sent<'/api/missions', 'post'> = { name: 'M', steps: [{ name: 's', kind: 'shell' }] };`,
      `export const e: Sent<'/api/keys', 'post'> = { name: 'K', role: 'root' };`,
    ];
    const faults = faultsOf(wrong.join('\n'));
    expect(wrong.filter((line) => !faults.some((fault) => fault.startsWith(line)))).toEqual([]);
  });
});
