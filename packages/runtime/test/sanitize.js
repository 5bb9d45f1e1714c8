// Runs this package's tests over an addon with AddressSanitizer and UBSan: `npm run test:sanitize -w @ort-dora/runtime`.
// Left out: leaks, which Node.js itself has by the hundred; the tests of memory's growth, which the quarantine of freed blocks would
// fail, of how soon something happens, and of the installation, which build an addon of their own.
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { buildAddon } from '../build-addon.js';

const workspace = fileURLToPath(new URL('../../..', import.meta.url));
const log = (line) => console.error(`@ort-dora/runtime: ${line}`);

const TIMED = ['leaves no gap of 50 ms', 'leave file reads alone', 'are not waited for by worker'];

const { path } = await buildAddon({ sanitize: true, log });
// Node.js links its C++ library statically; AddressSanitizer looks for the throwing of exceptions when it starts.
const preload = ['libasan.so', 'libstdc++.so'].map(library).join(' ');
const { status } = spawnSync(
  process.execPath,
  [
    `${workspace}/node_modules/vitest/vitest.mjs`,
    ...['run', '--root', workspace, 'packages/runtime/'],
    ...['--exclude', '**/memory.test.ts', '--exclude', '**/install.test.ts'],
    ...['--testNamePattern', `^(?!.*(${TIMED.join('|')}))`],
    ...['--testTimeout', '120000', '--hookTimeout', '240000'],
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      LD_PRELOAD: preload,
      // ONNX Runtime 1.30's own thread for telemetry reads freed memory when a process ends.
      ORT_DISABLE_TELEMETRY: '1',
      ORT_DORA_ADDON: path,
      ASAN_OPTIONS: 'detect_leaks=0:detect_stack_use_after_return=1:strict_init_order=1',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    },
  },
);
process.exit(status ?? 1);

/** Where the compiler has it. */
function library(name) {
  const compiler = (process.env.CXX ?? 'c++').split(' ')[0];
  return execFileSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
}
