// `node benchmarks/large/stored-gain.mjs FOLDER_RANK_16 FOLDER_RANK_384 [PREFIX...]`: rewrites parts of the 32B export (export.py)
// with stored g, all of W streamed through DoraScale, from a cold and from a warm page cache (as root: it drops the cache);
// and times DoraScale in memory, the disk alone, and a merge. PREFIX (`chrt -r 10` where the machine has other work) starts
// each process. Writes benchmarks/results/stored-gain.json.
import { execFileSync } from 'node:child_process';
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cli, measured, median, rounded, writeResult } from './measured.mjs';

const RUNS = 3;
const [small = '.', large = '.', ...prefix] = process.argv.slice(2);

writeResult('stored-gain', 'node benchmarks/large/stored-gain.mjs FOLDER_RANK_16 FOLDER_RANK_384', {
  description: `four layers of Qwen3-32B's shape with random values, bfloat16, 28 modules, by \`ort-dora rewrite\`; medians of ${RUNS} runs`,
  ranks: [part(resolve(small)), part(resolve(large))],
});

function part(folder) {
  const model = join(folder, 'slim.onnx');
  const out = join(folder, 'stored-gain.onnx');
  const rewrite = (scale) => succeeded([process.execPath, cli, 'rewrite', model, out, '--scale', scale, '--json']);
  const graph = median(Array.from({ length: RUNS }, () => rewrite('runtime').seconds));
  const times = (before) =>
    Array.from({ length: RUNS }, () => {
      before();
      return rewrite('stored');
    });
  const [cold, warm] = [times(dropCache), times(() => {})];
  const { modules } = JSON.parse(warm[0].output);
  rmSync(out);
  const bytes = modules.reduce((sum, { weightShape: [rows, columns] }) => sum + 2 * rows * columns, 0);
  const rate = (runs) => rounded(bytes / (median(runs.map(({ seconds }) => seconds)) - graph) / 1e9, 3);
  const script = fileURLToPath(new URL('weight-rates.mjs', import.meta.url));
  const inMemory = JSON.parse(succeeded([process.execPath, script, folder]).output);
  return {
    rank: modules[0].rank,
    fused: modules.filter(({ status }) => status === 'fused').length,
    gigabytesOfW: rounded(bytes / 1e9),
    graphSeconds: graph,
    diskGigabytesPerSecond: rounded(
      median(Array.from({ length: RUNS }, () => diskRate(join(folder, 'model.onnx_data')))),
    ),
    inMemoryGigabytesPerSecond: rounded(inMemory.scaleBytesPerSecond / 1e9, 3),
    coldGigabytesPerSecond: rate(cold),
    warmGigabytesPerSecond: rate(warm),
    peakMegabytes: Math.max(...[...cold, ...warm].map(({ peakMegabytes }) => peakMegabytes)),
    mergeMillionsPerSecond: rounded(inMemory.mergeElementsPerSecond / 1e6, 1),
    exactMergeMillionsPerSecond: rounded(inMemory.exactElementsPerSecond / 1e6, 1),
    merge: mergeWhole(folder, model, modules),
  };
}

/** The command as a whole, from the original export to a file on the disk. */
function mergeWhole(folder, model, { length }) {
  const out = join(folder, 'merged.onnx');
  const { seconds, peakMegabytes, output } = succeeded([process.execPath, cli, 'merge', model, out, '--json']);
  const { totals } = JSON.parse(output);
  if (totals.merged !== length) throw new Error(`merged ${totals.merged} of ${length}`);
  const { size } = statSync(`${out}_merged_data`);
  for (const file of [out, `${out}_merged_data`]) rmSync(file);
  return { seconds, peakMegabytes, gigabytesWritten: rounded(size / 1e9) };
}

/** Gigabytes a second of the file, read from one end to the other. */
function diskRate(path) {
  dropCache();
  return statSync(path).size / succeeded(['dd', `if=${path}`, 'of=/dev/null', 'bs=16M']).seconds / 1e9;
}

function dropCache() {
  execFileSync('sync');
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}

function succeeded(command) {
  const result = measured([...prefix, ...command]);
  if (result.failure) throw new Error(`${command.join(' ')} failed: ${result.failure}`);
  return result;
}
