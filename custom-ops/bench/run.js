// Runs the benchmark of the operators and writes its results: `npm run bench -w custom-ops`.
//   benchmarks/results/custom-ops-cpu.json and the tables between the markers of docs/operators.md
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { argv, env } from 'node:process';
import { fileURLToPath } from 'node:url';
import { buildWithCMake, cacheFolder } from '../native-build/index.js';
import { dependencies } from '../scripts/dependencies.js';

const workspace = fileURLToPath(new URL('../..', import.meta.url));
const root = join(workspace, 'custom-ops');
const results = join(workspace, 'benchmarks', 'results', 'custom-ops-cpu.json');
const page = join(workspace, 'docs', 'operators.md');
const seconds = argv[2] ?? '1';

if (argv[2] === '--tables') {
  writeTables(JSON.parse(readFileSync(results, 'utf8')));
} else {
  const build = join(root, 'build', 'bench');
  const options = { ORT_DORA_BENCH: 'ON', ...(await dependencies({ log: console.error })) };
  await buildWithCMake({ source: root, build, options, target: 'operators_bench', log: console.error });
  const threads = String(Math.min(2, availableParallelism()));
  const ort = join(
    dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json')),
    'bin/napi-v6/linux/x64/libonnxruntime.so.1',
  );
  const flags = ['--ort', ort, '--blas', openblas(), '--threads', threads, '--seconds', seconds];
  const output = execFileSync(join(build, 'bench', 'operators_bench'), flags, { encoding: 'utf8', maxBuffer: 1 << 24 });
  const report = {
    command: `npm run bench -w custom-ops -- ${seconds}`,
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: workspace, encoding: 'utf8' }).trim(),
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0]?.model.trim()}, ${cpus().length} cores`,
    threads: Number(threads),
    results: JSON.parse(output),
  };
  writeFileSync(results, `${JSON.stringify(report, null, 2)}\n`);
  writeTables(report);
}

/** OpenBLAS from PyPI, with its kernels for this processor. */
function openblas() {
  if (env.ORT_DORA_BENCH_BLAS) return env.ORT_DORA_BENCH_BLAS;
  const folder = join(cacheFolder(), 'bench', 'scipy-openblas32');
  if (!existsSync(folder)) {
    mkdirSync(folder, { recursive: true });
    execFileSync('python3', ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', folder, 'scipy-openblas32'], {
      stdio: 'inherit',
    });
  }
  const lib = join(folder, 'scipy_openblas32', 'lib');
  const file = readdirSync(lib).find((name) => name.endsWith('.so'));
  if (file === undefined) throw new Error(`no library in ${lib}; remove the folder and try again`);
  return join(lib, file);
}

/** Measured as the growth of the process's peak memory, which only the first dtype of a rank brings about. */
function scratch({ dtype, scratch_mib }) {
  return dtype === 'float32' ? `${scratch_mib} MiB` : '–';
}

function writeTables(report) {
  const linear = report.results.filter(({ op }) => op === 'DoraLinear');
  const scale = report.results.filter(({ op }) => op === 'DoraScale');
  const stock = report.results.filter(({ op }) => op === 'stock');
  const text = [
    `Made by \`${report.command}\` at ${report.commit} on ${report.date}: ${report.machine}, ${report.threads} threads, ONNX Runtime 1.30. Medians; a side runs by itself for a while, in turn with the others.`,
    '',
    'DoraLinear, 4096×4096, milliseconds; in brackets relative to the float32 body that ONNX Runtime runs (three MatMuls over',
    'prepacked weights and the composition):',
    '',
    '| W stored | r | rows | float32 body | float32 kernel | float16 body | float16 kernel | bfloat16 kernel |',
    '|---|---:|---:|---:|---:|---:|---:|---:|',
    ...linear
      .filter(({ dtype }) => dtype === 'float32')
      .map((row) => {
        const same = (dtype) =>
          linear.find(
            (r) => r.dtype === dtype && r.rank === row.rank && r.rows === row.rows && r.w_stored === row.w_stored,
          );
        const kernel = (dtype) => `${same(dtype).kernel_ms.toFixed(2)} (${same(dtype).of_float32_body.toFixed(2)})`;
        return `| ${row.w_stored} | ${row.rank} | ${row.rows} | ${row.body_float32_ms.toFixed(2)} | ${kernel('float32')} | ${same('float16').body_ms.toFixed(2)} | ${kernel('float16')} | ${kernel('bfloat16')} |`;
      }),
    '',
    'Without the library: the rewritten layer (its function body) against the form that PEFT exports to, float32, W `[in,out]`, stock ONNX Runtime:',
    '',
    '| r | rows | original, ms | rewritten, ms | |',
    '|---:|---:|---:|---:|---:|',
    ...stock.map(
      (row) => `| ${row.rank} | ${row.rows} | ${row.original_ms} | ${row.rewritten_ms} | ${row.of_original} |`,
    ),
    '',
    'DoraScale, 4096×4096, all of it, against OpenBLAS on W·Aᵀ alone in float32; GFLOP/s count W·Aᵀ only:',
    '',
    '| r | dtype | OpenBLAS | DoraScale | rate | scratch | out·r + r² |',
    '|---:|---|---:|---:|---:|---:|---:|',
    ...scale.map(
      (row) =>
        `| ${row.rank} | ${row.dtype} | ${row.blas_gflops} | ${row.kernel_gflops} | ${Math.round(row.rate_of_blas * 100)} % | ${scratch(row)} | ${row.bound_mib} MiB |`,
    ),
  ].join('\n');
  const before = readFileSync(page, 'utf8');
  writeFileSync(page, before.replace(/(<!-- bench: begin -->\n)[\s\S]*?(<!-- bench: end -->)/, `$1${text}\n$2`));
}
