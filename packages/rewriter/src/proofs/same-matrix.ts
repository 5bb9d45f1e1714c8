import { asElements, DataType, elementTypeOf } from '@ort-dora/onnx';
import { floatType, toFloat32 } from '../tensors/elements.js';
import { matrixShape, type StoredMatrix, type StoredTensor } from '../tensors/stored-tensor.js';

/** Bytes of each of the two matrices that are held at once. */
const CHUNK_BYTES = 64 * 1024 * 1024;
/** Side of the squares in which a matrix is compared with a transposed one: both stay in the cache. */
const TILE = 64;

/**
 * Whether two stored matrices hold the same numbers: bit for bit where they have one element type, by exact value where
 * one is wider (an exporter's float32 copy of a float16 weight). Neither is ever held whole if it is larger than a chunk.
 */
export async function sameMatrix(left: StoredMatrix, right: StoredMatrix, signal?: AbortSignal): Promise<boolean> {
  const [rows, columns] = matrixShape(left);
  const [otherRows, otherColumns] = matrixShape(right);
  if (rows !== otherRows || columns !== otherColumns) return false;
  const decode = decoder(left.tensor, right.tensor);
  if (decode === undefined) return false;
  return left.transposed === right.transposed
    ? sameStorage(left.tensor, right.tensor, decode, signal)
    : sameTransposed(left.tensor, right.tensor, decode, signal);
}

type Words = Uint16Array | Uint32Array;
type Decode = (bytes: Uint8Array, tensor: StoredTensor) => Words;

/** How to turn both tensors' bytes into words that are equal exactly where the numbers are; undefined if there is no way. */
function decoder(left: StoredTensor, right: StoredTensor): Decode | undefined {
  if (left.dataType === right.dataType) {
    const type = floatType(left.dataType);
    if (type === undefined) return undefined;
    const words = elementTypeOf(type === 'float32' ? DataType.UINT32 : DataType.UINT16);
    return (bytes) => asElements(bytes, words) as Words;
  }
  if (floatType(left.dataType) === undefined || floatType(right.dataType) === undefined) return undefined;
  return (bytes, tensor) => {
    const values = toFloat32(bytes, floatType(tensor.dataType)!);
    return new Uint32Array(values.buffer, values.byteOffset, values.length);
  };
}

async function sameStorage(
  left: StoredTensor,
  right: StoredTensor,
  decode: Decode,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const elements = left.dims.reduce((product, dim) => product * dim, 1);
  const size = { left: left.byteLength / elements, right: right.byteLength / elements };
  const step = Math.max(1, Math.floor(CHUNK_BYTES / Math.max(size.left, size.right)));
  for (let start = 0; start < elements; start += step) {
    signal?.throwIfAborted();
    const end = Math.min(elements, start + step);
    const a = decode(await left.read(start * size.left, end * size.left), left);
    const b = decode(await right.read(start * size.right, end * size.right), right);
    for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  }
  return true;
}

/** `left[i, j] = right[j, i]` over row chunks of both. */
async function sameTransposed(
  left: StoredTensor,
  right: StoredTensor,
  decode: Decode,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const [rows = 0, columns = 0] = left.dims;
  if (rows === 0 || columns === 0) return true;
  for await (const a of rowChunks(left, rows, decode, signal)) {
    for await (const b of rowChunks(right, columns, decode, signal)) {
      if (!sameTiles(a, b, rows, columns)) return false;
    }
  }
  return true;
}

interface RowChunk {
  readonly first: number;
  readonly count: number;
  readonly words: Words;
}

async function* rowChunks(
  tensor: StoredTensor,
  rows: number,
  decode: Decode,
  signal: AbortSignal | undefined,
): AsyncGenerator<RowChunk> {
  const rowBytes = tensor.byteLength / rows;
  const step = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  for (let first = 0; first < rows; first += step) {
    signal?.throwIfAborted();
    const count = Math.min(step, rows - first);
    yield { first, count, words: decode(await tensor.read(first * rowBytes, (first + count) * rowBytes), tensor) };
  }
}

/** Rows `a` of the one against rows `b` (columns of the first) of the other. */
function sameTiles(a: RowChunk, b: RowChunk, rows: number, columns: number): boolean {
  for (let rowTile = 0; rowTile < a.count; rowTile += TILE) {
    const rowEnd = Math.min(a.count, rowTile + TILE);
    for (let columnTile = 0; columnTile < b.count; columnTile += TILE) {
      const columnEnd = Math.min(b.count, columnTile + TILE);
      for (let row = rowTile; row < rowEnd; row++) {
        const start = row * columns + b.first;
        for (let column = columnTile; column < columnEnd; column++) {
          if (a.words[start + column] !== b.words[column * rows + a.first + row]) return false;
        }
      }
    }
  }
  return true;
}
