// A tensor that stays where the runtime put it, to be fed to the next run without a copy.
import { binding } from './addon.js';
import type { Cell, NativeTensorHandle } from './binding.js';
import { bits, pushCells, SHARE_FROM } from './cells.js';
import { integer, place } from './checks.js';
import {
  dataLength,
  ELEMENT_TYPES,
  type ElementData,
  type ElementType,
  elementTypeOf,
  isElementType,
  typedArrayClass,
} from './element-types.js';
import { usesAddon } from './engine.js';
import { fromNative, RuntimeError, unexpected } from './errors.js';
import { HeldTensor } from './held-tensor.js';
import type { TensorData, Value } from './values.js';

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
   * Zeros, in memory that belongs to no session and keeps its address.
   * @param at.device `cpu` (default); `cpu-pinned`: memory of the CPU from and to which GPUs copy at full speed; or a GPU, `cuda:N`
   * @throws RuntimeError PROVIDER_UNAVAILABLE where there is no CUDA, or not enough of its memory
   */
  static allocate(
    type: ElementType,
    dims: readonly number[],
    { device = 'cpu' }: { device?: string } = {},
  ): NativeTensor {
    if (!isElementType(type) || type === 'string') throw unexpected('type', 'a numeric element type', type);
    place(device, 'device');
    try {
      if (usesAddon())
        return new NativeTensor(binding().NativeTensorHandle.allocate(ELEMENT_TYPES[type], dims, device));
    } catch (error) {
      throw fromNative(error, 'NativeTensor.allocate');
    }
    if (device !== 'cpu') throw needsAddon(`NativeTensor.allocate on ${device}`);
    return new NativeTensor(HeldTensor.zeros(type, dims));
  }

  /** Rows `start` to `end` (excluded) of the first dimension, in the same memory, which it keeps. */
  slice(start: number, end: number): NativeTensor {
    const [rows, ...rest] = this.dims;
    if (rows === undefined) throw unexpected('NativeTensor.slice', 'a tensor with a first dimension', 'a scalar');
    integer(start, 'start', 0, rows);
    integer(end, 'end', start, rows);
    const elements = start * elementCount(rest);
    if (this.type.endsWith('int4') && elements % 2 !== 0) throw unexpected('start', 'a row that begins a byte', start);
    return viewOf(this, byteLength(this.type, elements), this.type, [end - start, ...rest]);
  }

  /** The same elements under other dims, in the same memory, which it keeps. */
  reshape(dims: readonly number[]): NativeTensor {
    if (!Array.isArray(dims) || elementCount(dims) !== elementCount(this.dims))
      throw unexpected('dims', `dims of ${elementCount(this.dims)} elements`, dims);
    return viewOf(this, 0, this.type, dims);
  }

  /**
   * Overwrites the elements with those of a tensor of the same type and as many elements, wherever either of them lives. Off the event
   * loop; data of 16 KB and more is read in place, so it must not change before the promise has settled.
   */
  async copyFrom(source: Value): Promise<void> {
    try {
      await this.#handle.copyFrom(...sourceCells(source, true));
    } catch (error) {
      throw fromNative(error, 'NativeTensor.copyFrom');
    }
  }

  /** The same on the calling thread, for what takes less time than a thread switch (some 50 µs). */
  copyFromSync(source: Value): void {
    try {
      this.#handle.copyFromSync(...sourceCells(source, false));
    } catch (error) {
      throw fromNative(error, 'NativeTensor.copyFromSync');
    }
  }

  /** A copy of the elements in memory of JavaScript, off the event loop. */
  async read(): Promise<ElementData[ElementType]> {
    try {
      return (await this.#handle.read()) as ElementData[ElementType];
    } catch (error) {
      throw fromNative(error, 'NativeTensor.read');
    }
  }

  readSync(): ElementData[ElementType] {
    try {
      return this.#handle.readSync() as ElementData[ElementType];
    } catch (error) {
      throw fromNative(error, 'NativeTensor.readSync');
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

function sourceCells(source: Value, lent: boolean): readonly Cell[] {
  checkValue('source', source);
  const cells: Cell[] = [];
  const value = source instanceof NativeTensor ? unwrap(source) : source;
  pushCells(cells, value, lent ? SHARE_FROM : Number.POSITIVE_INFINITY);
  return cells;
}

export function checkValue(parameter: string, value: Value): void {
  if (value instanceof NativeTensor) return;
  if (typeof value !== 'object' || value === null)
    throw unexpected(parameter, '{ type, data, dims } or a NativeTensor', value);
  if (!isElementType(value.type)) throw unexpected(`${parameter}.type`, 'an element type', value.type);
  if (!Array.isArray(value.dims)) throw unexpected(`${parameter}.dims`, 'an array', value.dims);
}

/** A tensor over a part of the memory of another one, which it keeps. `offset` in bytes. */
export function viewOf(tensor: NativeTensor, offset: number, type: ElementType, dims: readonly number[]): NativeTensor {
  try {
    return wrap(unwrap(tensor).view(offset, ELEMENT_TYPES[type], dims));
  } catch (error) {
    throw fromNative(error, 'NativeTensor');
  }
}

/** Of a tensor of so many elements; 0 for strings. */
export function byteLength(type: ElementType, elements: number): number {
  return type === 'string' ? 0 : dataLength(type, elements) * typedArrayClass(type).BYTES_PER_ELEMENT;
}

export function elementCount(dims: readonly number[]): number {
  return dims.reduce((count, dim) => count * dim, 1);
}

function needsAddon(what: string): RuntimeError {
  return new RuntimeError('NOT_SUPPORTED', `${what} needs the native addon; stock onnxruntime-node is in use`);
}

export { unwrap as handleOf, wrap as tensorOf };
