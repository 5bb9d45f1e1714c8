// What the CUDA kernels reach: tables and charts from benchmarks/kernels on one GPU.
import { logChart } from './log-chart.mjs';
import { sentence } from './sentence.mjs';

/** @param {{ kernels: object, methods: object, models: object }} results of operators.py, peers.py and benchmarks/models */
export function kernelsSection({ kernels, methods, models }) {
  const of = (op) => kernels.results.filter((row) => row.op === op);
  return [
    '## The operators on a GPU',
    '',
    'Times are medians of replayed CUDA graphs with the L2 cache displaced before each, so that no launch hides or flatters. “Merged” is cuBLAS’s product with',
    'one weight, which is what a merged layer costs, in the same run. bfloat16; geometric means over eight layers, 4096×4096 to 28672×8192.',
    '',
    '![A layer of rank 384 by each method, as a multiple of the merged layer, against the number of tokens.](images/layer-methods.svg)',
    '',
    ...methodsTable(kernels, methods),
    '',
    ...remark(methods.notes),
    provenance('python benchmarks/kernels/peers.py LIBRARY', methods),
    '',
    '### DoraLinear',
    '',
    ...linearTable(of('linear')),
    '',
    '### The other operators',
    '',
    ...scaleTable(of('scale')),
    '',
    ...composeTable(of('compose'), of('compose_grad')),
    '',
    ...bankTable(of('linear_bank')),
    '',
    '![Roofline: what each kernel reaches of the memory’s speed and of the tensor cores’.](images/roofline.svg)',
    '',
    ...remark(kernels.notes),
    provenance('python benchmarks/kernels/operators.py LIBRARY', kernels),
    '',
    ...modelsSection(models),
  ];
}

export function methodsChart({ kernels, methods: { methods, results } }) {
  const tokens = distinct(results, 'tokens');
  const ours = Object.entries(OURS).map(([name, wanted]) => ({
    name,
    own: true,
    points: tokens.map((count) => point(count, ratiosOf(kernels.results, wanted, count))),
  }));
  const peers = peersOf(methods).map(([name]) => ({
    name,
    own: false,
    points: tokens.map((count) => point(count, peerRatios(results, name, count))),
  }));
  function point(count, ratios) {
    const ratio = geometricMean(ratios);
    return { x: count, y: ratio, label: `${ratio.toFixed(2)} at ${count} tokens` };
  }
  return logChart({
    title: 'One adapted layer, rank 384, bfloat16: time as a multiple of the merged layer',
    x: { title: 'tokens', ticks: tokens, from: tokens[0] / 1.15, to: tokens.at(-1) * 1.15 },
    y: { title: 'time / merged', ticks: [1, 2, 5, 10, 20, 50], from: 0.9, to: 90 },
    legend: 232,
    series: [...ours, ...peers],
  });
}

/** Every measured kernel over the two limits, which the same run measured: `copy_` and cuBLAS at its best. */
export function rooflineChart({ results }) {
  const copy = Math.max(...results.filter((row) => row.copy_bytes_per_second).map((row) => row.copy_bytes_per_second));
  const linear = results.filter(
    (row) => row.op === 'linear' && row.rank === 384 && row.adapter === 'bfloat16' && !row.transposed,
  );
  const peak = Math.max(...linear.map((row) => (2 * row.out * row.in * row.tokens) / (row.lin_us * 1e-6)));
  const from = 0.2;
  const to = 8000;
  const point = ({ operations, bytes, us }, label) => ({
    x: operations / bytes,
    y: operations / us / 1e6,
    label: `${label}: ${(operations / us / 1e6).toFixed(1)} TFLOP/s, ${(bytes / us / 1e6).toFixed(2)} TB/s`,
  });
  const series = [
    {
      name: `limit: ${(copy / 1e12).toFixed(1)} TB/s, ${Math.round(peak / 1e12)} TFLOP/s`,
      own: false,
      dashed: true,
      points: [
        { x: from, y: (from * copy) / 1e12 },
        { x: peak / copy, y: peak / 1e12 },
        { x: to, y: peak / 1e12 },
      ],
    },
    {
      name: 'DoraLinear, r = 384',
      own: true,
      line: false,
      points: linear.map((row) => point(linearWork(row), `${row.out}×${row.in}, ${row.tokens} tokens`)),
    },
    {
      name: 'DoraScale, r = 384',
      own: false,
      line: false,
      points: results
        .filter((row) => row.op === 'scale' && row.rank === 384 && row.adapter === 'bfloat16' && !row.transposed)
        .map((row) => point(scaleWork(row), `${row.out}×${row.in}`)),
    },
    ...[
      ['compose', 'DoraCompose', 3, 4],
      ['compose_grad', 'DoraComposeGrad', 5, 6],
    ].map(([op, name, tensors, operations]) => ({
      name,
      own: false,
      line: false,
      points: results
        .filter((row) => row.op === op && row.rows * row.channels >= 2048 * 2048)
        .map((row) => {
          const elements = row.rows * row.channels;
          return point(
            { operations: operations * elements, bytes: 2 * tensors * elements, us: row.us },
            `${row.rows}×${row.channels}`,
          );
        }),
    })),
  ];
  return logChart({
    title: 'Roofline',
    x: { title: 'arithmetic operations a byte that must move', ticks: [1, 10, 100, 1000], from, to },
    y: { title: 'TFLOP/s', ticks: [1, 10, 100, 1000], from: 0.4, to: 1500 },
    legend: 212,
    series,
  });
}

function linearWork({ out, in: inner, rank, tokens, us }) {
  const weights = out * inner + rank * (out + inner);
  return { operations: 2 * tokens * weights, bytes: 2 * (weights + tokens * (out + inner)), us };
}

function scaleWork({ out, in: inner, rank, us }) {
  return { operations: 2 * out * inner * (rank + 1), bytes: 2 * (out * inner + rank * (out + inner)), us };
}

function methodsTable(kernels, { methods, results }) {
  const tokens = distinct(results, 'tokens');
  const row = (name, ratios, error) =>
    `| ${name} | ${ratios.map((values) => geometricMean(values).toFixed(2)).join(' | ')} | ${error} |`;
  return [
    `| time / merged | ${tokens.map((count) => `T = ${count}`).join(' | ')} | error |`,
    `|---|${tokens.map(() => '---:|').join('')}---:|`,
    ...Object.entries(OURS).map(([name, wanted]) => {
      const errors = kernels.results.filter((result) => matches(result, wanted)).map(({ error }) => error);
      return row(
        `**${name}**`,
        tokens.map((count) => ratiosOf(kernels.results, wanted, count)),
        rms(errors),
      );
    }),
    ...peersOf(methods).map(([name, meaning]) => {
      const errors = results.filter(({ method }) => method === name).map(({ error }) => error);
      const error = name === 'PEFT LoRA' ? '–' : rms(errors);
      return row(
        `${name}: ${meaning}`,
        tokens.map((count) => peerRatios(results, name, count)),
        error,
      );
    }),
    '',
    'Error: distance from float64, relative, root mean square over all layers and token counts. Launching PEFT’s kernels one by one, outside of a graph, costs more than is shown.',
  ];
}

const OURS = {
  DoraLinear: { op: 'linear', rank: 384, adapter: 'bfloat16', transposed: 0 },
  'DoraLinear, float32 adapters': { op: 'linear', rank: 384, adapter: 'float32', transposed: 0 },
};

function matches(row, wanted) {
  return Object.entries(wanted).every(([key, value]) => row[key] === value);
}

function ratiosOf(rows, wanted, tokens) {
  return rows.filter((row) => row.tokens === tokens && matches(row, wanted)).map(({ ratio }) => ratio);
}

/** The methods of others. */
function peersOf(methods) {
  return Object.entries(methods).filter(([name]) => name !== 'merged' && !(name in OURS));
}

function peerRatios(rows, name, tokens) {
  return rows.filter(({ method, tokens: count }) => method === name && count === tokens).map(({ ratio }) => ratio);
}

function rms(values) {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length).toExponential(1);
}

function linearTable(rows) {
  const tokens = distinct(rows, 'tokens');
  const configurations = [
    ['r = 384', OURS.DoraLinear],
    ['r = 384, weights stored [in,out]', { ...OURS.DoraLinear, transposed: 1 }],
    ['r = 384, float32 adapters', OURS['DoraLinear, float32 adapters']],
    ['r = 16', { ...OURS.DoraLinear, rank: 16 }],
  ];
  return [
    `| time / merged | ${tokens.map((count) => `T = ${count}`).join(' | ')} |`,
    `|---|${tokens.map(() => '---:|').join('')}`,
    ...configurations.map(([name, wanted]) => {
      const ratios = tokens.map((count) => ratiosOf(rows, wanted, count));
      return `| ${name} | ${ratios.map((values) => (values.length > 0 ? geometricMean(values).toFixed(2) : '')).join(' | ')} |`;
    }),
  ];
}

function scaleTable(rows) {
  return [
    '| DoraScale: out × in, rank, adapters | µs | TFLOP/s | scratch, MB | largest error of g |',
    '|---|---:|---:|---:|---:|',
    ...rows
      .filter((row) => !row.transposed)
      .map((row) => {
        const { operations } = scaleWork(row);
        return `| ${row.out} × ${row.in}, ${row.rank}, ${row.adapter} | ${Math.round(row.us)} | ${Math.round(operations / row.us / 1e6)} | ${(row.workspace / 1e6).toFixed(1)} | ${row.error.toExponential(1)} |`;
      }),
  ];
}

function composeTable(composes, gradients) {
  return [
    '| rows × channels | DoraCompose, µs | of the copy’s speed | DoraComposeGrad, µs | eager PyTorch / ours |',
    '|---|---:|---:|---:|---:|',
    ...gradients.map((gradient) => {
      const compose = composes.find(({ rows, channels }) => rows === gradient.rows && channels === gradient.channels);
      const [us, share] = compose ? [compose.us.toFixed(0), `${Math.round(100 * compose.share_of_copy)} %`] : ['', ''];
      return `| ${gradient.rows} × ${gradient.channels} | ${us} | ${share} | ${gradient.us.toFixed(0)} | ${gradient.speedup.toFixed(2)} |`;
    }),
  ];
}

function bankTable(rows) {
  return [
    '| DoraLinearBank, 4096 × 4096, r = 16 | µs | over the time to move W and the adapters in use |',
    '|---|---:|---:|',
    ...rows
      .filter((row) => !row.transposed && row.rows === row.runs)
      .map(
        (row) =>
          `| ${row.rows} rows on ${row.adapters} adapters | ${row.us.toFixed(1)} | ${row.over_bytes.toFixed(2)} |`,
      ),
  ];
}

function modelsSection({ description, milliseconds, gib, notes, ...made }) {
  const [first] = Object.values(milliseconds);
  const names = Object.keys(first);
  return [
    '## A whole model on a GPU',
    '',
    `${sentence(`${description}; through the addon in one process, decode replayed from CUDA graphs`)} “merged-kernel” is the merged`,
    'model through DoraLinear (rank 0, gains 1). For one adapter that never changes, merging is still the better choice; unmerged, one set of weights serves many.',
    '',
    `| | ${names.join(' | ')} | unmerged / merged |`,
    `|---|${names.map(() => '---:|').join('')}---:|`,
    ...Object.entries(milliseconds).map(
      ([work, times]) =>
        `| ${work} | ${names.map((name) => times[name]).join(' | ')} | ${(times.unmerged / times.merged).toFixed(2)} |`,
    ),
    '',
    `Memory with the unmerged model alone: ${gib.inUse.toFixed(1)} GiB, of which ${gib.weights.toFixed(1)} are weights and adapters, ${gib.caches.toFixed(1)} caches, and ${gib.before.toFixed(1)} were in use before.`,
    '',
    ...remark(notes),
    `*\`node benchmarks/models/measure.mjs FOLDER\` ([how](../benchmarks/models/README.md)), ${made.device.name}, driver ${made.driver}, ${made.clocks.before.split(',')[0]}, commit ${made.commit}.*`,
    '',
  ];
}

/** What a result says of its own making. */
function remark(notes) {
  return notes ? [sentence(notes), ''] : [];
}

function provenance(command, { machine, commit, date, torch }) {
  return `*\`${command}\`, ${machine.name}, driver ${machine.driver_version}, ${machine['clocks.sm']}, PyTorch ${torch}, commit ${commit}${date ? `, ${date}` : ''}.*`;
}

function distinct(rows, key) {
  return [...new Set(rows.map((row) => row[key]))].sort((a, b) => a - b);
}

function geometricMean(values) {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
