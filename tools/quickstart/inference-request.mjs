// One inference request by the KServe protocol, with binary tensors: the sample's own inputs, PyTorch's recorded answer.
import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { StepError } from '../steps/steps.mjs';
import { root } from '../steps/workspace.mjs';

const DATATYPES = { float16: 'FP16', float32: 'FP32', int64: 'INT64' };

/**
 * Sends the sample's inputs to the served model and prints its answer beside the one that PyTorch gave.
 * @param {{ url: string, model: string, sample: string, folder: string }} request sample: a folder of recorded inputs
 *   and outputs; folder: where the request's body is kept for curl
 * @returns {Promise<string>} the curl line that sends the same request and prints the JSON head of the answer
 */
export async function ask({ url, model, sample, folder }) {
  const { DataType, elementTypeOf, toFloat32 } = await import('@ort-dora/onnx');
  const { readNpzFile } = await import('@ort-dora/verify');
  const inputs = await readNpzFile(join(sample, 'inputs.npz'));
  const expected = (await readNpzFile(join(sample, 'expected.npz'))).get('logits__f64');
  const { body, headerLength } = encode(inputs);
  const file = join(folder, 'request.bin');
  writeFileSync(file, body);
  const address = `${url}/v2/models/${model}/infer`;
  const started = performance.now();
  const response = await fetch(address, {
    method: 'POST',
    headers: { 'Inference-Header-Content-Length': String(headerLength) },
    body,
  });
  const milliseconds = performance.now() - started;
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (!response.ok) throw new StepError(`${address} answered ${response.status}: ${new TextDecoder().decode(bytes)}`);
  const answerLength = Number(response.headers.get('inference-header-content-length'));
  const answer = JSON.parse(new TextDecoder().decode(bytes.subarray(0, answerLength)));
  const logits = toFloat32(bytes.slice(answerLength), elementTypeOf(DataType.FLOAT16));
  const { shape } = answer.outputs[0];
  console.log(`  logits [${shape}] in ${milliseconds.toFixed(1)} ms; most likely tokens ${mostLikely(logits, shape)}`);
  console.log(`  PyTorch in float64                most likely tokens ${mostLikely(expected.data, shape)}`);
  return `curl -s ${address} -H 'Inference-Header-Content-Length: ${headerLength}' --data-binary @${relative(root, file)} | head -c ${answerLength}; echo`;
}

/** The JSON header that describes every tensor, then their bytes. */
function encode(inputs) {
  const tensors = [...inputs].map(([name, { type, dims, data }]) => ({
    description: {
      name,
      datatype: DATATYPES[type],
      shape: dims,
      parameters: { binary_data_size: data.byteLength },
    },
    bytes: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  }));
  const header = Buffer.from(
    JSON.stringify({
      inputs: tensors.map(({ description }) => description),
      outputs: [{ name: 'logits', parameters: { binary_data: true } }],
    }),
  );
  return { body: Buffer.concat([header, ...tensors.map(({ bytes }) => bytes)]), headerLength: header.length };
}

/** The index of the largest logit at every position of [1, positions, vocabulary] logits. */
function mostLikely(logits, [, positions, vocabulary]) {
  return Array.from({ length: positions }, (_, position) => {
    const row = logits.slice(position * vocabulary, (position + 1) * vocabulary);
    return row.indexOf(row.reduce((largest, value) => Math.max(largest, value), Number.NEGATIVE_INFINITY));
  }).join(' ');
}
