// Sources and the ESM-only @nestjs packages are transformed to CommonJS: Jest cannot require Nest 12 on Node 20
// otherwise, and this way is faster and takes less memory than --experimental-vm-modules.
const module = { type: 'commonjs' };
const ts = [
  '@swc/jest',
  {
    swcrc: false,
    module,
    sourceMaps: 'inline',
    jsc: {
      target: 'es2022',
      keepClassNames: true,
      parser: { syntax: 'typescript', decorators: true },
      transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
    },
  },
];
const js = [
  '@swc/jest',
  { swcrc: false, module, jsc: { target: 'es2022', parser: { syntax: 'ecmascript' } } },
];

/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  workerIdleMemoryLimit: '768MB',
  testTimeout: 30_000,
  roots: ['<rootDir>/src', '<rootDir>/test'],
  testRegex: '\\.spec\\.ts$',
  transform: { '\\.ts$': ts, '\\.js$': js },
  transformIgnorePatterns: ['/node_modules/(?!@nestjs/)'],
  // './x.js' in our sources means './x.ts'; node_modules keeps its own './x.js'.
  // A thread cannot run the sources of TypeScript.
  moduleNameMapper: { '/worker-file\\.js$': '<rootDir>/test/support/worker-file.ts' },
  resolver: '<rootDir>/test/support/ts-resolver.cjs',
};
