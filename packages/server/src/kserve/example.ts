/** A curl line that runs a model on zeros: for the landing page and for people who try a model for the first time. */
import type { LoadedModel, TensorSpec } from '../models/model.js';
import { datatypeOf, ELEMENT_BYTES } from './datatypes.js';

/** Beyond this, zeros are piped in as binary data rather than spelled out. */
const SPELLED_OUT = 64;

/**
 * The line runs in a POSIX shell and answers 200 for models that accept zeros. Symbolic dimensions become 1; those of a
 * KV cache's past 0.
 * @param url of the server, without a slash at its end
 */
export function exampleCurl(url: string, name: string, model: LoadedModel): string {
  const inputs = model.inputs.map((spec) => ({ spec, shape: exampleShape(spec) }));
  const isHalf = ({ type }: TensorSpec) => type === 'float16' || type === 'bfloat16';
  const binary = model.inputs.some(isHalf) || inputs.some(({ shape }) => count(shape) > SPELLED_OUT);
  const request = {
    inputs: inputs.map(({ spec, shape }) => {
      const datatype = datatypeOf(spec.type);
      const head = { name: spec.name, shape, datatype };
      if (binary && datatype !== 'BYTES') {
        return { ...head, parameters: { binary_data_size: count(shape) * ELEMENT_BYTES[datatype] } };
      }
      return { ...head, data: new Array(count(shape)).fill(zero(spec)) };
    }),
    ...(model.outputs.some(isHalf) && {
      outputs: model.outputs.map((spec) => ({
        name: spec.name,
        ...(isHalf(spec) && { parameters: { binary_data: true } }),
      })),
    }),
  };
  const json = JSON.stringify(request);
  const target = `${url}/v2/models/${name}/infer`;
  const output = model.outputs.some(isHalf) ? ' --output -' : '';
  if (!binary) return `curl -s${output} ${target} -H 'Content-Type: application/json' -d ${quote(json)}`;
  const zeros = inputs.reduce((sum, { spec, shape }) => {
    const datatype = datatypeOf(spec.type);
    return sum + (datatype === 'BYTES' ? 0 : count(shape) * ELEMENT_BYTES[datatype]);
  }, 0);
  return (
    `{ printf %s ${quote(json)}; head -c ${zeros} /dev/zero; } | curl -s${output} ${target} ` +
    `-H 'Content-Type: application/octet-stream' -H 'Inference-Header-Content-Length: ${Buffer.byteLength(json)}' --data-binary @-`
  );
}

function exampleShape({ shape }: TensorSpec): number[] {
  return shape.map((length) => (typeof length === 'number' ? length : /past/i.test(length) ? 0 : 1));
}

function zero({ type }: TensorSpec): unknown {
  if (type === 'string') return '';
  return type === 'bool' ? false : 0;
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
