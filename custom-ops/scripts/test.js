// Builds and runs the C++ tests: `npm run test:native`, with `--sanitize` under AddressSanitizer and UBSan.
// The results go to reports/ctest.xml. The CUDA half is compiled too (for Hopper, unless ORT_DORA_CUDA_ARCHITECTURES says otherwise);
// its tests are skipped where there is no GPU.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { argv, env, exit } from 'node:process';
import { fileURLToPath } from 'node:url';
import { buildWithCMake } from '../native-build/index.js';
import { cuda } from './cuda.js';
import { dependencies } from './dependencies.js';

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const sanitize = argv.includes('--sanitize');
const build = `${root}/build/${sanitize ? 'test-sanitized' : 'test'}`;
const log = (line) => console.error(`@ort-dora/custom-ops: ${line}`);

// Compiled once more with sanitizers, the device's code would be the same.
const architectures = sanitize ? [] : env.ORT_DORA_CUDA_ARCHITECTURES ? undefined : ['90a'];

try {
  await buildWithCMake({
    source: root,
    build,
    options: {
      CMAKE_BUILD_TYPE: sanitize ? 'None' : 'Release',
      ORT_DORA_TESTS: 'ON',
      ORT_DORA_WERROR: 'ON',
      ORT_DORA_SANITIZE: sanitize ? 'ON' : 'OFF',
      ...(await dependencies({ tests: true, log })),
      ...(await cuda({ ...(architectures && { architectures }), log })),
    },
    inputs: ['CMakeLists.txt', 'cmake', 'include', 'src', 'test'],
    log,
  });
} catch (error) {
  log(error.message);
  exit(1);
}
mkdirSync(`${root}/reports`, { recursive: true });
const report = `${root}/reports/${sanitize ? 'ctest-sanitized' : 'ctest'}.xml`;
const threads = String(availableParallelism());
const { status } = spawnSync(
  'ctest',
  ['--test-dir', build, '--output-on-failure', '-j', threads, '--output-junit', report],
  { stdio: 'inherit' },
);
exit(status ?? 1);
