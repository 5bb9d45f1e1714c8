// What every runtime is asked to run: rewritten samples, with recorded inputs and PyTorch's float64 results.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { readNpzFile } from '../../packages/verify/dist/index.js';
import { root } from '../steps/workspace.mjs';

const samples = join(root, 'models', 'fixtures', 'samples');
const layers = join(root, 'packages', 'rewriter', 'test', 'layers');
const cli = join(root, 'packages', 'cli', 'dist', 'main.js');

/** How a model is rewritten: both forms, and g computed while it runs. */
const WAYS = [
  { name: 'linear', arguments: [] },
  { name: 'compose', arguments: ['--form', 'compose'] },
  { name: 'runtime', arguments: ['--scale', 'runtime'] },
];
const LAYERS = ['conv1d_gpt2_legacy', 'conv2d_legacy', 'conv3d_legacy', 'embedding_scaled_legacy'];
const LAYER_TOLERANCE = 1e-5;

/**
 * Writes the rewritten models, their tensors and a list of them into `folder`.
 * @returns {Promise<{ file: string, names: string[] }>} the list, as the runners read it: lines of fields separated by tabs,
 *   `case NAME MODEL TOLERANCE`, then `input NAME TYPE DIMS FILE` and `output NAME FILE` (float64) of that case
 */
export async function writeCases(folder) {
  const names = [];
  const lines = [];
  const write = (name, bytes) => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  for (const { name, model, inputs, expected, tolerance } of sources(write)) {
    const feeds = [...(await readNpzFile(inputs))].map(([input, { type, dims, data }]) => {
      const file = write(`${name}.${input}.in`, bytesOf(data));
      return ['input', input, type, dims.join(), file];
    });
    const arrays = await readNpzFile(expected);
    const outputs = [...arrays]
      .filter(([output]) => arrays.size === 1 || output.endsWith('__f64') || inputs === expected)
      .filter(([output]) => !(inputs === expected && output === 'x'))
      .map(([output, { data }]) => {
        const file = write(`${name}.${output}.out`, bytesOf(Float64Array.from(data, Number)));
        return ['output', output.replace('__f64', ''), file];
      });
    for (const way of WAYS) {
      const rewritten = join(folder, `${name}.${way.name}.onnx`);
      const options = ['--target', 'cpu', ...way.arguments];
      execFileSync(process.execPath, [cli, 'rewrite', model, rewritten, ...options], { stdio: 'ignore' });
      names.push(`${name}, ${way.name}`);
      lines.push(
        ['case', names.at(-1), rewritten, tolerance],
        ...feeds.filter(([, input]) => input !== 'y'),
        ...outputs,
      );
    }
  }
  return { file: write('cases.tsv', `${lines.map((fields) => fields.join('\t')).join('\n')}\n`), names };
}

function* sources(write) {
  for (const name of readdirSync(samples)) {
    const meta = join(samples, name, 'meta.json');
    if (!existsSync(meta)) continue;
    const { should_match: matches, tolerance } = JSON.parse(readFileSync(meta, 'utf8'));
    if (!matches) continue;
    const [model, inputs, expected] = ['model.onnx', 'inputs.npz', 'expected.npz'].map((file) =>
      join(samples, name, file),
    );
    yield { name, model, inputs, expected, tolerance: tolerance.max_abs_over_absmax };
  }
  for (const layer of LAYERS) {
    const name = `${layer}_peft0.21`;
    const model = write(`${name}.onnx`, gunzipSync(readFileSync(join(layers, `${name}.onnx.gz`))));
    const arrays = join(layers, `${name}.npz`);
    yield { name, model, inputs: arrays, expected: arrays, tolerance: LAYER_TOLERANCE };
  }
}

function bytesOf({ buffer, byteOffset, byteLength }) {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
