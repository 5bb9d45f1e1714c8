// The pages of figures, made from results: they say nothing that a result does not.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../steps/workspace.mjs';
import { barChart } from './bar-chart.mjs';
import { kernelsSection, methodsChart, rooflineChart } from './kernels.mjs';
import { sentence } from './sentence.mjs';

/** @returns {Map<string, string>} path below the repository's root → content */
export function pages() {
  const overhead = result('runtime-overhead');
  const soak = result('runtime-soak');
  const server = result('server-infer');
  const large = result('large-export');
  const stored = result('stored-gain');
  const others = result('large-others');
  const session = result('session-load');
  const gpu = {
    kernels: result('kernels-cuda-h200'),
    methods: result('layer-methods-h200'),
    models: result('models-cuda-h200'),
  };
  const text = [
    '# Performance',
    '',
    'Made from [benchmarks/results](../benchmarks/results) by `node tools/performance.mjs`. Machines are noisy: compare the figures of one table',
    'with one another, not with those of another machine. The operators on the CPU: [operators.md](operators.md).',
    '',
    ...overheadSection(overhead),
    ...soakSection(soak),
    ...serverSection(server),
    ...largeSection(large),
    ...storedSection(stored),
    ...othersSection(others),
    ...sessionSection(session),
    ...kernelsSection(gpu),
  ];
  return new Map([
    ['docs/performance.md', `${text.join('\n').trimEnd()}\n`],
    ['docs/images/run-overhead.svg', overheadChart(overhead)],
    ['docs/images/layer-methods.svg', methodsChart(gpu)],
    ['docs/images/roofline.svg', rooflineChart(gpu.kernels)],
    ['README.md', withOthers(withAccuracy(content('README.md'), content('models/README.md')), others)],
  ]);
}

const ACCURACY = /(?<=<!-- accuracy: begin -->\n).*?(?=<!-- accuracy: end -->)/s;

/** The tables of the demo's accuracy, which `python -m models.demo.report` writes into models/README.md. */
function withAccuracy(page, source) {
  const tables = ACCURACY.exec(source)[0];
  return page.replace(ACCURACY, () => `${tables.slice(0, tables.indexOf('\n\n600 held-out'))}\n`);
}

const OTHERS = /(?<=<!-- others: begin -->\n).*?(?=<!-- others: end -->)/s;

function withOthers(page, others) {
  return page.replace(OTHERS, () => `${othersTable(others).join('\n')}\n`);
}

function overheadSection({ microseconds, ...made }) {
  return [
    '## What a run costs beside the computation',
    '',
    `${sentence(made.description)} Stock is onnxruntime-node's own binding.`,
    '',
    '![Microseconds a run of a tiny model: runSync, stock onnxruntime-node, and run.](images/run-overhead.svg)',
    '',
    '| | median, µs | least | most |',
    '|---|---:|---:|---:|',
    ...Object.entries(microseconds).map(([name, { median, min, max }]) => `| ${name} | ${median} | ${min} | ${max} |`),
    '',
    `\`run\` leaves the event loop free and costs ${made.runAboveStock} µs more than stock, which blocks it; \`runSync\` blocks too and costs less than stock.`,
    '',
    provenance(made),
    '',
  ];
}

function overheadChart({ microseconds }) {
  const names = ['runSync', 'stock run', 'run', 'run through onnxruntime-common'];
  return barChart({
    title: 'A run of a tiny model, µs (median)',
    bars: names.map((name) => ({ name, value: microseconds[name].median, own: name !== 'stock run' })),
  });
}

function soakSection({ runs, nativeRuns, failingRuns, cycles, ...made }) {
  return [
    '## Memory over many runs and sessions',
    '',
    `${sentence(made.description)}`,
    '',
    '| | count | first quarter, MB | last quarter, MB | growth |',
    '|---|---:|---:|---:|---:|',
    ...Object.entries({
      runs,
      'runs with native outputs': nativeRuns,
      'runs that fail': failingRuns,
      'sessions created, run and disposed': cycles,
    }).map(
      ([name, { count, firstQuarterMegabytes, lastQuarterMegabytes, growthPercent }]) =>
        `| ${name} | ${count} | ${firstQuarterMegabytes} | ${lastQuarterMegabytes} | ${growthPercent} % |`,
    ),
    '',
    provenance(made),
    '',
  ];
}

function serverSection({ results, model, ...made }) {
  return [
    '## HTTP',
    '',
    `${model} over loopback from a second process, against the same model through the runtime in this process.`,
    '',
    '| path | at once | per second | median, ms | 99th percentile, ms |',
    '|---|---:|---:|---:|---:|',
    ...results.map((row) => `| ${row.path} | ${row.concurrency} | ${row.per_second} | ${row.p50_ms} | ${row.p99_ms} |`),
    '',
    provenance(made),
    '',
  ];
}

function largeSection({ graphs, data, ...made }) {
  return [
    '## Rewriting a 32B export',
    '',
    `${sentence(made.description)} The ${data.gigabytes} GB of weights are a sparse file; strace counts the calls that open or read it.`,
    '',
    '| graph | MB | rewritten, MB | DoRA modules fused | seconds | peak memory, MB | calls on the weights |',
    '|---|---:|---:|---:|---:|---:|---:|',
    ...graphs.map(
      (row) =>
        `| ${row.metadata} | ${row.megabytes} | ${row.rewrittenMegabytes} | ${row.fused} of ${row.modules} | ${row.seconds} | ${row.peakMegabytes} | ${row.callsOnData} |`,
    ),
    '',
    provenance(made),
    '',
  ];
}

function storedSection({ ranks, ...made }) {
  return [
    '## Storing g, and merging',
    '',
    `${sentence(made.description)} Rates are bytes of W a second, without the time that the graph takes; A, B and m are read besides. In memory: DoraScale`,
    'alone over the modules of one layer, whole. Disk: the data file read from one end to the other. Cold and warm are the page cache’s state.',
    '',
    '| rank | W, GB | disk, GB/s | DoraScale in memory, GB/s | rewrite, cold, GB/s | rewrite, warm, GB/s | of the lower of disk and memory | peak memory, MB |',
    '|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...ranks.map((row) => {
      const bound = Math.min(row.diskGigabytesPerSecond, row.inMemoryGigabytesPerSecond);
      const share = (rate) => `${Math.round((100 * rate) / bound)} %`;
      return `| ${row.rank} | ${row.gigabytesOfW} | ${row.diskGigabytesPerSecond} | ${row.inMemoryGigabytesPerSecond} | ${row.coldGigabytesPerSecond} | ${row.warmGigabytesPerSecond} | ${share(row.coldGigabytesPerSecond)} cold, ${share(row.warmGigabytesPerSecond)} warm | ${row.peakMegabytes} |`;
    }),
    '',
    'Merging: millions of elements of W′ a second, one module in memory, and the command as a whole, from the export to the disk.',
    '',
    '| rank | in float64, one thread | through ONNX Runtime | of float64 | `merge`, s | written, GB | peak memory, MB |',
    '|---:|---:|---:|---:|---:|---:|---:|',
    ...ranks.map(
      ({ rank, exactMergeMillionsPerSecond: exact, mergeMillionsPerSecond: fast, merge }) =>
        `| ${rank} | ${exact} | ${fast} | ${Math.round(fast / exact)}× | ${merge.seconds} | ${merge.gigabytesWritten} | ${merge.peakMegabytes} |`,
    ),
    '',
    provenance(made),
    '',
  ];
}

function othersSection({ limits, ...made }) {
  return [
    '## Other tools on the same files',
    '',
    `What a tool that rewrites graphs needs at this size; none of the others knows DoRA. One run each, ended after ${limits.seconds} s, at ${limits.memoryGigabytes} GB of`,
    `memory or at ${limits.fileGigabytes} GB of output; peak memory counts pages of mapped files too.`,
    '',
    ...othersTable(made),
    '',
    provenance(made),
    '',
  ];
}

function othersTable({ rows }) {
  return [
    '| model | tool | seconds | peak memory, MB | nodes | written, MB | failure |',
    '|---|---|---:|---:|---:|---:|---|',
    ...rows.map(
      (row) =>
        `| ${row.model} | ${row.tool} | ${row.seconds} | ${row.peakMegabytes} | ${row.nodes ?? ''} | ${row.writtenMegabytes ?? ''} | ${row.failure ?? ''} |`,
    ),
  ];
}

function sessionSection({ models, ...made }) {
  const [original] = models;
  return [
    '## Loading and running a rewritten model',
    '',
    `${sentence(made.description)} Own memory is what is no mapped file, in the running process. Loading the original, ONNX Runtime folds the dense norms; it folds the`,
    'transposes of the weights and packs them for its products whichever way the model came, which takes most of the time that is left. The operator',
    "library's kernels read the weights where the file has them (`ort_dora.body` empty; as it comes, the library leaves DoraLinear in float32 to ONNX Runtime).",
    '',
    '| | graph, MB | weights, MB | load, s | original’s load / this | one token, ms | 64 tokens, ms | peak memory, MB | own memory, MB | largest difference of a logit |',
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...models.map((row) => {
      const ratio = (original.loadSeconds / row.loadSeconds).toFixed(1);
      return `| ${row.name} | ${row.graphMegabytes} | ${row.dataMegabytes} | ${row.loadSeconds} | ${ratio} | ${row.oneTokenMilliseconds} | ${row.sixtyFourTokensMilliseconds} | ${row.peakMegabytes} | ${row.ownMegabytes} | ${row.largestLogitDifference.toPrecision(2)} |`;
    }),
    '',
    provenance(made),
    '',
  ];
}

function provenance({ command, commit, date, machine }) {
  const where = `${machine.cpu}, ${machine.cores} cores, Node.js ${machine.node.replace(/^v/, '')}`;
  return `*\`${command}\`, ${where}${commit ? `, commit ${commit}` : ''}${date ? `, ${date.slice(0, 10)}` : ''}.*`;
}

function content(path) {
  return readFileSync(join(root, path), 'utf8');
}

function result(name) {
  const path = join(root, 'benchmarks', 'results', `${name}.json`);
  if (!existsSync(path)) throw new Error(`${path} is missing: run the benchmark that makes it`);
  return JSON.parse(readFileSync(path, 'utf8'));
}
