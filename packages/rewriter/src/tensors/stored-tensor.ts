import type { FloatType } from '../functions/form.js';

/** A tensor stored in the model's file or beside it, of which ranges can be read. */
export interface StoredTensor {
  /** Name of the initializer, or of the value that a Constant node computes. */
  readonly name: string;
  /** TensorProto.DataType. */
  readonly dataType: number;
  /** Shape as stored. */
  readonly dims: readonly number[];
  readonly byteLength: number;
  /**
   * Bytes `[start, end)` of the little-endian elements; all of them by default. `into` is memory that may be used for them,
   * at least as long: the result is its start, or elsewhere where the bytes are in memory already.
   */
  read(start?: number, end?: number, into?: Uint8Array): Promise<Uint8Array>;
}

/** A stored tensor of one of the operators' element types. */
export interface FloatTensor extends StoredTensor {
  readonly type: FloatType;
}

/** A matrix as stored, and whether what is meant is its transpose. */
export interface StoredMatrix {
  readonly tensor: StoredTensor;
  readonly transposed: boolean;
}

/** Rows and columns of what is meant. */
export function matrixShape({ tensor, transposed }: StoredMatrix): readonly [rows: number, columns: number] {
  const [first = 0, second = 0] = tensor.dims;
  return transposed ? [second, first] : [first, second];
}
