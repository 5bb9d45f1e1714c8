// Time to the first token, time a token, and memory of generation: one process a decoder, so that peaks are its own.
// node packages/vlm/bench/generation.mjs [--model FOLDER]… [--decoder NAME]… [--picture FILE] [--question TEXT] [--tokens N] [--runs N]
//   [--threads N] [--out FILE]
// Needs built packages (npm run build). Prints JSON; --out writes it too.
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const DEMO = fileURLToPath(new URL('../../../models/fixtures/demo', import.meta.url));

const { values } = parseArgs({
  options: {
    model: { type: 'string', multiple: true, default: [DEMO] },
    decoder: { type: 'string', multiple: true, default: ['decoder_model_merged', 'decoder_model_merged_reading'] },
    picture: { type: 'string', default: `${DEMO}/recorded/pictures/000.png` },
    question: { type: 'string', default: 'Describe the picture.' },
    tokens: { type: 'string', default: '64' },
    runs: { type: 'string', default: '20' },
    threads: { type: 'string', default: '0' },
    out: { type: 'string' },
    measure: { type: 'string' },
  },
});

if (values.measure === undefined) await measureAll();
else console.log(JSON.stringify(await measure(...JSON.parse(values.measure))));

async function measureAll() {
  const variants = [];
  for (const variant of values.model.flatMap((model) => values.decoder.map((decoder) => [model, decoder]))) {
    const options = [...process.argv.slice(1), '--measure', JSON.stringify(variant)];
    const { stdout } = await promisify(execFile)(process.execPath, options);
    variants.push(JSON.parse(stdout));
  }
  const result = {
    command: `node packages/vlm/bench/generation.mjs ${process.argv.slice(2).join(' ')}`.trim(),
    machine: {
      cpu: os.cpus()[0]?.model,
      cpus: os.cpus().length,
      memoryGb: Math.round(os.totalmem() / 2 ** 30),
      node: process.version,
      loadAverage: os.loadavg().map(round),
    },
    date: new Date().toISOString().slice(0, 10),
    variants,
  };
  const text = `${JSON.stringify(result, undefined, 2)}\n`;
  if (values.out !== undefined) await writeFile(values.out, text);
  process.stdout.write(text);
}

async function measure(folder, decoder) {
  const megabytes = (bytes) => Math.round(bytes / 2 ** 18) / 4;
  const beforeImport = performance.now();
  const { openVlm } = await import('@ort-dora/vlm');
  const { describeRuntime } = await import('@ort-dora/runtime');
  const imported = performance.now();
  const rssBefore = process.memoryUsage().rss;
  const threads = Number(values.threads);
  const model = await openVlm(folder, {
    graphs: { decoder },
    session: threads > 0 ? { intraOpNumThreads: threads } : {},
  });
  const opened = performance.now();
  const messages = [
    {
      role: 'user',
      content: [
        { type: 'image', image: await readFile(values.picture) },
        { type: 'text', text: values.question },
      ],
    },
  ];
  const runs = [];
  // The first run warms kernels and libraries up; its figures are kept apart.
  for (let run = 0; run <= Number(values.runs); run++) {
    const start = performance.now();
    let first;
    for await (const event of model.stream(messages, { maxTokens: Number(values.tokens), temperature: 0 })) {
      first ??= performance.now() - start;
      if (event.type === 'end') runs.push({ first, total: performance.now() - start, ...event });
    }
  }
  const rssAfter = process.memoryUsage().rss;
  await model.dispose();
  const [cold, ...warm] = runs;
  const milliseconds = (of) => spread(warm.map(of));
  return {
    model: relative(process.cwd(), folder),
    decoder,
    backend: describeRuntime().backend,
    promptTokens: cold.usage.promptTokens,
    completionTokens: cold.usage.completionTokens,
    importMs: round(imported - beforeImport),
    openMs: round(opened - imported),
    coldFirstTokenMs: round(cold.first),
    firstTokenMs: milliseconds(({ first }) => first),
    prepareMs: milliseconds(({ timings }) => timings.prepare),
    visionMs: milliseconds(({ timings }) => timings.vision),
    prefillMs: milliseconds(({ timings }) => timings.prefill),
    perTokenMs: milliseconds(({ timings, usage }) => timings.decode / Math.max(usage.completionTokens - 1, 1)),
    memoryMb: {
      beforeOpening: megabytes(rssBefore),
      afterRuns: megabytes(rssAfter),
      peak: megabytes(process.resourceUsage().maxRSS * 1024),
    },
  };
}

function spread(figures) {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (share) => round(sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)]);
  return { median: at(0.5), p10: at(0.1), p90: at(0.9) };
}

function round(milliseconds) {
  return Math.round(milliseconds * 100) / 100;
}
