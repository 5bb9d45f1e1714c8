// What a NativeTensor holds where there is no addon: the data itself, in the memory of JavaScript.
import type { Cell, NativeTensorHandle } from './binding.js';
import {
  dataLength,
  ELEMENT_TYPES,
  type ElementData,
  type ElementType,
  elementTypeOf,
  typedArrayClass,
} from './element-types.js';
import { RuntimeError, unexpected } from './errors.js';
import type { TensorData } from './values.js';

export class HeldTensor implements NativeTensorHandle {
  readonly device = 'cpu';
  #tensor: TensorData | undefined;

  /** Takes the data over, without a copy. */
  constructor(tensor: TensorData) {
    this.#tensor = tensor;
  }

  static copyOf(tensor: TensorData): HeldTensor {
    checkData('tensor', tensor);
    const { type, data, dims } = tensor;
    return new HeldTensor({ type, data: data.slice() as ElementData[ElementType], dims: [...dims] });
  }

  static zeros(type: Exclude<ElementType, 'string'>, dims: readonly number[]): HeldTensor {
    const length = dataLength(
      type,
      dims.reduce((product, dim) => product * dim, 1),
    );
    const tensor = { type, data: new (typedArrayClass(type))(length), dims: [...dims] };
    checkData('tensor', tensor);
    return new HeldTensor(tensor);
  }

  get tensor(): TensorData {
    if (this.#tensor === undefined) throw new RuntimeError('DISPOSED', 'the NativeTensor is disposed');
    return this.#tensor;
  }

  get type(): number {
    return ELEMENT_TYPES[this.tensor.type];
  }

  get dims(): number[] {
    return [...this.tensor.dims];
  }

  get disposed(): boolean {
    return this.#tensor === undefined;
  }

  data(): ArrayBufferView | string[] {
    return this.tensor.data as ArrayBufferView | string[];
  }

  view(offset: number, code: number, dims: readonly number[]): HeldTensor {
    const type = elementTypeOf(code)!;
    const { data } = this.tensor;
    if (type === 'string' || !ArrayBuffer.isView(data))
      throw new RuntimeError('NOT_SUPPORTED', 'a tensor of strings has no views');
    const length = dataLength(
      type,
      dims.reduce((product, dim) => product * dim, 1),
    );
    return new HeldTensor({
      type,
      data: new (typedArrayClass(type))(data.buffer, data.byteOffset + offset, length),
      dims: [...dims],
    });
  }

  async copyFrom(code: Cell, data: Cell, dims: Cell): Promise<void> {
    this.copyFromSync(code, data, dims);
  }

  copyFromSync(code: Cell, data: Cell, dims: Cell): void {
    const source =
      data instanceof HeldTensor
        ? data.tensor
        : { type: elementTypeOf(code as number)!, data: data as ElementData[ElementType], dims: dims as number[] };
    checkData('source', source);
    const { type, data: own } = this.tensor;
    if (source.type !== type) throw unexpected('source.type', type, source.type);
    if (type === 'string') throw new RuntimeError('NOT_SUPPORTED', 'strings cannot be copied between tensors');
    if (source.data.length !== own.length)
      throw unexpected('source.data', `${own.length} elements`, source.data.length);
    (own as Uint8Array).set(source.data as Uint8Array);
  }

  async read(): Promise<ArrayBufferView> {
    return this.readSync();
  }

  readSync(): ArrayBufferView {
    const { type, data } = this.tensor;
    if (type === 'string') throw new RuntimeError('NOT_SUPPORTED', 'strings are read by data()');
    return (data as Uint8Array).slice();
  }

  dispose(): void {
    this.#tensor = undefined;
  }
}

/** The checks that the addon makes in native/tensor_data.cc: the class of the data, and its length against `dims`. */
export function checkData(parameter: string, { type, data, dims }: TensorData): void {
  if (!Array.isArray(dims) || !dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
    throw unexpected(`${parameter}.dims`, 'an array of non-negative integers', dims);
  }
  const length = dataLength(
    type,
    dims.reduce((product, dim) => product * dim, 1),
  );
  if (type === 'string') {
    if (!Array.isArray(data)) throw unexpected(`${parameter}.data`, 'an array of strings', data);
  } else {
    const expected = typedArrayClass(type);
    const clamped = type === 'uint8' && (data as unknown) instanceof Uint8ClampedArray;
    if (!clamped && !(data instanceof expected))
      throw unexpected(`${parameter}.data`, `a ${expected.name} for ${type}`, data);
  }
  if (data.length !== length) {
    throw unexpected(`${parameter}.data`, `${length} elements for dims [${dims.join(', ')}]`, data.length);
  }
}
