// `node benchmarks/large/rewrite.mjs FOLDER [PREFIX...]`: rewrites both graphs of a 32B-shaped export (export.py), with the
// norms left in the graph, started by PREFIX (`chrt -f 10` where the machine has other work), and proves by strace that no
// weight is read. Writes benchmarks/results/large-export.json.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { cli, measured, median, rounded, writeResult } from './measured.mjs';

const RUNS = 5;
const DATA = 'model.onnx_data';
/** Opening a file, and every way to its content: a file that is never opened is never read. */
const READING =
  'open,openat,openat2,read,pread64,readv,preadv,preadv2,mmap,sendfile,splice,copy_file_range,io_uring_setup';

const [given = '.', ...prefix] = process.argv.slice(2);
const folder = resolve(given);
const data = statSync(join(folder, DATA));
writeResult('large-export', ['node benchmarks/large/rewrite.mjs FOLDER', ...prefix].join(' '), {
  description: `Qwen3-32B's shape, bfloat16, rank 384, by \`ort-dora rewrite --scale runtime\`; median of ${RUNS} runs`,
  data: { gigabytes: rounded(data.size / 1e9, 1), onDiskBytes: data.blocks * 512 },
  graphs: [graph('model.onnx', 'all of the exporter’s metadata'), graph('slim.onnx', 'module paths only')],
});

function graph(file, metadata) {
  const model = join(folder, file);
  const out = join(folder, `rewritten-${file}`);
  const command = [process.execPath, cli, 'rewrite', model, out, '--scale', 'runtime', '--json'];
  const runs = Array.from({ length: RUNS }, () => succeeded(measured([...prefix, ...command])));
  const { modules } = JSON.parse(runs[0].output);
  const made = statSync(out).size;
  const callsOnData = tracedCalls(command);
  rmSync(out);
  return {
    file,
    metadata,
    megabytes: rounded(statSync(model).size / 1e6, 1),
    rewrittenMegabytes: rounded(made / 1e6, 1),
    modules: modules.length,
    fused: modules.filter(({ status }) => status === 'fused').length,
    seconds: rounded(median(runs.map(({ seconds }) => seconds))),
    peakMegabytes: median(runs.map(({ peakMegabytes }) => peakMegabytes)),
    callsOnData,
  };
}

/** How many of the calls that open or read any file name the data file, or a descriptor of it. */
function tracedCalls(command) {
  const scratch = mkdtempSync(join(tmpdir(), 'traced-'));
  const log = join(scratch, 'calls');
  succeeded(measured(['strace', '-f', '-y', '-e', `trace=${READING}`, '-o', log, ...command]));
  const calls = readFileSync(log, 'utf8').split('\n');
  rmSync(scratch, { recursive: true });
  if (!calls.some((line) => line.includes('.onnx>')))
    throw new Error('strace saw no read of the model: nothing is proved');
  return calls.filter((line) => line.includes(DATA)).length;
}

function succeeded(result) {
  if (result.failure) throw new Error(`rewrite failed: ${result.failure}`);
  return result;
}
