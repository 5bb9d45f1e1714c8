// Values as the native layer takes them: three cells each (binding.ts).
import { markAsUntransferable } from 'node:worker_threads';
import { type Cell, HANDLE, type NativeTensorHandle } from './binding.js';
import { ELEMENT_TYPES } from './element-types.js';
import type { TensorData } from './values.js';

/** As kShareFrom of native/tensor_data.h: what is larger is read in place by asynchronous runs. */
export const SHARE_FROM = 16 * 1024;

/** `shareFrom`: the bytes from which on the native layer uses the memory in place while JavaScript goes on. */
export function pushCells(cells: Cell[], value: TensorData | NativeTensorHandle, shareFrom: number): void {
  if ('disposed' in value) {
    cells.push(HANDLE, value, null);
    return;
  }
  const data = bits(value.data);
  if (ArrayBuffer.isView(data) && data.byteLength >= shareFrom) keepInPlace(data);
  cells.push(ELEMENT_TYPES[value.type], data, value.dims);
}

/** A buffer that native code reads must not be detached under it. Node.js offers no way to lift the mark later. */
export function keepInPlace(view: ArrayBufferView): void {
  if (view.buffer instanceof ArrayBuffer) markAsUntransferable(view.buffer);
}

/** Newer engines have Float16Array; here float16 is raw bits. */
export function bits<T extends ArrayBufferView | readonly string[]>(data: T): T | Uint16Array {
  if (ArrayBuffer.isView(data) && data.constructor?.name === 'Float16Array') {
    return new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
  }
  return data;
}
