import { defineConfig } from 'vitest/config';

// Workspace packages are resolved to their TypeScript sources through the `@ort-dora/source` export condition.
export default defineConfig({
  resolve: { conditions: ['@ort-dora/source'] },
  ssr: { resolve: { conditions: ['@ort-dora/source', 'node', 'import', 'default'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts', 'custom-ops/test/**/*.test.ts', 'tools/**/*.test.ts'],
    testTimeout: 30_000,
    pool: 'forks',
  },
});
