// The service as one file. As 1,700 small files of Nest and its friends it started in 1.1 s with 130 MiB, as one in
// 0.5 s with 109 MiB. What is native, or read from disk at run time, stays outside: the production dependencies.
import { cpSync } from 'node:fs';
import { defineConfig } from 'rolldown';

const OUTSIDE = /^(lmdb$|swagger-ui-dist)/;
/** Nest asks for these where they are installed; they are not. */
const ABSENT = /^(@nestjs\/(microservices|websockets|platform-(?!express)|graphql)|@fastify\/|fastify$)/;

export default defineConfig({
  // The worker is a thread of its own, started from a file beside the other.
  input: { main: 'build/main.js', 'yaml.worker': 'src/policy/admin/yaml.worker.js' },
  platform: 'node',
  external: (id) => OUTSIDE.test(id) || ABSENT.test(id),
  // Nest and the OpenAPI document know classes by their names.
  output: {
    dir: 'dist',
    cleanDir: true,
    format: 'esm',
    // Node reads the whole map at the start: with the sources in it that took 20 to 40 MiB.
    sourcemap: true,
    sourcemapExcludeSources: true,
    keepNames: true,
    entryFileNames: '[name].js',
  },
  plugins: [
    {
      name: 'lua-scripts',
      writeBundle: () => cpSync('src/storage/redis/scripts', 'dist/scripts', { recursive: true }),
    },
  ],
});
