// Builds the service as one file. With 1,700 small files of Nest and its dependencies it started in 1.1 s with 130 MiB, with
// one file in 0.5 s with 109 MiB. Native code and files that are read at run time stay outside: the production dependencies.
import { cpSync } from 'node:fs';
import { defineConfig } from 'rolldown';
import { writeInventory } from './scripts/inventory.mjs';

const OUTSIDE = /^(lmdb$|swagger-ui-dist)/;
/** Nest loads these only if they are installed. They are not. */
const ABSENT = /^(@nestjs\/(microservices|websockets|platform-(?!express)|graphql)|@fastify\/|fastify$)/;

/**
 * pino reads the names of its callers at the start, for transports, which the service does not use. Since Node 22 that parses
 * the whole source map and keeps the result: 55 MiB.
 */
const withoutCallers = {
  name: 'pino-without-callers',
  load(id) {
    if (!id.endsWith('/pino/lib/caller.js')) return null;
    withoutCallers.found = true;
    return 'module.exports = () => [];';
  },
  buildEnd(error) {
    if (!error && !withoutCallers.found)
      throw new Error('pino has no lib/caller.js any more; see rolldown.config.mjs');
  },
};

const luaScripts = {
  name: 'lua-scripts',
  writeBundle: () => cpSync('src/storage/redis/scripts', 'dist/scripts', { recursive: true }),
};

/** Lists every module whose code is in the two bundles, for dist/sbom.json and dist/THIRD_PARTY_NOTICES. */
const shipped = new Set();
const inventory = {
  name: 'inventory',
  writeBundle(_options, bundle) {
    const chunks = Object.values(bundle).filter(({ type }) => type === 'chunk');
    const modules = chunks.flatMap((chunk) => Object.entries(chunk.modules));
    for (const [id, { renderedLength }] of modules) if (renderedLength > 0) shipped.add(id);
    writeInventory([...shipped], 'dist');
  },
};

const OUTPUT = {
  dir: 'dist',
  format: 'esm',
  // Node reads the map at the start. With the sources in it that cost 20 to 40 MiB.
  sourcemap: true,
  sourcemapExcludeSources: true,
  // Nest and the OpenAPI document use the names of classes.
  keepNames: true,
  entryFileNames: '[name].js',
};

/** The thread for heavy work starts from a file of its own. Built apart from the other, so that the two share no third file. */
export default defineConfig([
  {
    input: { main: 'build/main.js' },
    platform: 'node',
    external: (id) => OUTSIDE.test(id) || ABSENT.test(id),
    output: { ...OUTPUT, cleanDir: true },
    plugins: [withoutCallers, luaScripts, inventory],
  },
  {
    input: { 'heavy.worker': 'build/policy/heavy/heavy.worker.js' },
    platform: 'node',
    output: OUTPUT,
    plugins: [inventory],
  },
]);
