import { DTYPE, type FloatType } from './dtype.js';
import type { AdapterTensor } from './file.js';
import { LENGTH_BYTES, METADATA } from './header.js';

/** A tensor to be written. */
export type TensorContents = Pick<AdapterTensor, 'type' | 'dims' | 'byteLength' | 'read'>;

/**
 * The bytes of a safetensors file, a chunk at a time: the same ones that the reference implementation
 * (`safetensors.torch.save_file` with `metadata={"format": "pt"}`) writes for these tensors.
 */
export async function* safetensorsChunks(tensors: ReadonlyMap<string, TensorContents>): AsyncGenerator<Uint8Array> {
  const ordered = [...tensors].sort(
    ([a, x], [b, y]) => ORDER.indexOf(x.type) - ORDER.indexOf(y.type) || Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );
  yield header(ordered);
  for (const [, tensor] of ordered) {
    for (let start = 0; start < tensor.byteLength; start += CHUNK_BYTES) {
      yield tensor.read(start, Math.min(start + CHUNK_BYTES, tensor.byteLength));
    }
  }
}

/** Wide types first, so that every tensor is aligned; within a type by name. */
const ORDER: readonly FloatType[] = ['float32', 'bfloat16', 'float16'];

const CHUNK_BYTES = 4 * 2 ** 20;

/** Length, then JSON, padded by spaces so that the data starts at a multiple of 8 bytes. */
function header(ordered: readonly (readonly [string, TensorContents])[]): Uint8Array {
  let end = 0;
  const entries = ordered.map(([name, { type, dims, byteLength }]) => {
    const start = end;
    end += byteLength;
    return [name, { dtype: DTYPE[type], shape: dims, data_offsets: [start, end] }] as const;
  });
  // Not an object: its integer-like keys would come first.
  const members = [[METADATA, { format: 'pt' }] as const, ...entries];
  const json = `{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const text = Buffer.from(json);
  const bytes = Buffer.alloc(LENGTH_BYTES + Math.ceil(text.length / 8) * 8, ' ');
  bytes.writeBigUInt64LE(BigInt(bytes.length - LENGTH_BYTES));
  text.copy(bytes, LENGTH_BYTES);
  return bytes;
}
