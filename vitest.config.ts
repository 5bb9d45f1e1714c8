import { dirname, join } from 'node:path';
import { defineConfig } from 'vitest/config';

// `npm test` adds up the reports: each package's lies in its own reports/, where Nx caches it.
const manifest = process.env.npm_package_json;
const reports = process.env.ORT_DORA_REPORTS ?? (manifest ? join(dirname(manifest), 'reports') : undefined);

// Workspace packages are resolved to their TypeScript sources through the `@ort-dora/source` export condition. Not `import`: vitest
// hands the conditions to Node.js, whose `require` would then load ES modules where a package has both.
const conditions = ['@ort-dora/source', 'node'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['packages/*/{src,test}/**/*.test.ts', 'custom-ops/test/**/*.test.ts', 'tools/**/*.test.ts'],
    // Programs that tests start print what they print, also where Nx or a terminal asks for colours.
    env: { FORCE_COLOR: '0' },
    testTimeout: 30_000,
    pool: 'forks',
    reporters: reports ? ['default', 'json'] : ['default'],
    ...(reports ? { outputFile: { json: join(reports, 'vitest.json') } } : {}),
  },
});
