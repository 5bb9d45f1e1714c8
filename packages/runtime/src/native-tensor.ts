// A tensor that stays where the runtime put it, to be fed to the next run without a copy.
import { binding } from './addon.js';
import type { NativeTensorHandle } from './binding.js';
import { ELEMENT_TYPES, type ElementData, type ElementType, elementTypeOf, isElementType } from './element-types.js';
import { usesAddon } from './engine.js';
import { fromNative, RuntimeError, unexpected } from './errors.js';
import { HeldTensor } from './held-tensor.js';
import type { TensorData } from './values.js';

let wrap: (handle: NativeTensorHandle) => NativeTensor;
let unwrap: (tensor: NativeTensor) => NativeTensorHandle;

export class NativeTensor {
  readonly type: ElementType;
  readonly dims: readonly number[];
  /** `cpu`, or a device such as `cuda:0`. */
  readonly device: string;
  readonly #handle: NativeTensorHandle;

  static {
    wrap = (handle) => new NativeTensor(handle);
    unwrap = (tensor) => tensor.#handle;
  }

  private constructor(handle: NativeTensorHandle) {
    const type = elementTypeOf(handle.type);
    if (type === undefined) {
      handle.dispose();
      throw new RuntimeError('NOT_SUPPORTED', `tensors of ONNX element type ${handle.type} are not supported`);
    }
    this.#handle = handle;
    this.type = type;
    this.dims = handle.dims;
    this.device = handle.device;
  }

  /** Copies the data into memory of the runtime. */
  static from(tensor: TensorData): NativeTensor {
    if (typeof tensor !== 'object' || tensor === null) throw unexpected('tensor', '{ type, data, dims }', tensor);
    if (!isElementType(tensor.type)) throw unexpected('tensor.type', 'an element type', tensor.type);
    try {
      if (!usesAddon()) return new NativeTensor(HeldTensor.copyOf(tensor));
      const { data, dims } = tensor;
      return new NativeTensor(binding().NativeTensorHandle.fromData(ELEMENT_TYPES[tensor.type], bits(data), dims));
    } catch (error) {
      throw fromNative(error, 'NativeTensor.from');
    }
  }

  /**
   * The elements, without a copy where the tensor is in CPU memory (strings are copied). The array stays valid after
   * `dispose()`: it keeps the memory for itself.
   */
  data(): ElementData[ElementType] {
    try {
      return this.#handle.data() as ElementData[ElementType];
    } catch (error) {
      throw fromNative(error, 'NativeTensor.data');
    }
  }

  get disposed(): boolean {
    return this.#handle.disposed;
  }

  /**
   * Gives up this tensor's share of the memory. It is freed when the last run and the last array that use it are done, which
   * without `dispose()` is when all of them have been collected. Idempotent.
   */
  dispose(): void {
    this.#handle.dispose();
  }
}

export { unwrap as handleOf, wrap as tensorOf };

/** Newer engines have Float16Array; here float16 is raw bits. */
export function bits<T extends ArrayBufferView | readonly string[]>(data: T): T | Uint16Array {
  if (ArrayBuffer.isView(data) && data.constructor?.name === 'Float16Array') {
    return new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
  }
  return data;
}
