import type * as ort from 'onnxruntime-node';
import { toFloat64 } from '../../src/tensors/elements.js';

/** A result's numbers; half precision decoded. */
export function numbersOf(tensor: ort.Tensor): ArrayLike<number> {
  if (tensor.type === 'float32') return tensor.data as Float32Array;
  if (tensor.type !== 'float16') throw new Error(`no numbers for ${tensor.type}`);
  const { buffer, byteOffset, byteLength } = tensor.data as Uint16Array;
  return toFloat64(new Uint8Array(buffer, byteOffset, byteLength), 'float16');
}
