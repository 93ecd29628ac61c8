import tseslint from 'typescript-eslint';

// Biome formats and finds the plain mistakes; ESLint stays for what needs types, floating promises above all.
export default tseslint.config(
  {
    ignores: ['dist/**', 'build/**', 'bench/**', 'console/**', 'data/**', '**/*.cjs', '**/*.mjs', '**/*.js'],
  },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // Biome says the same and wants a reason where one is used.
      '@typescript-eslint/no-explicit-any': 'off',
      // Adapters implement asynchronous ports; the embedded one often has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['test/**', 'src/**/*.spec.ts', 'src/storage/contract/**'],
    rules: {
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
    },
  },
);
