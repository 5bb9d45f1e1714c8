/** Reads the fixtures' .npz files: a ZIP of .npy arrays. */
import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import * as ort from 'onnxruntime-node';

export interface NpyArray {
  readonly descr: string;
  readonly dims: readonly number[];
  readonly data: Uint8Array;
}

export function readNpz(path: string): Map<string, NpyArray> {
  const file = readFileSync(path);
  const arrays = new Map<string, NpyArray>();
  let at = file.readUInt32LE(file.lastIndexOf(Buffer.from('PK\x05\x06')) + 16);
  while (file.readUInt32LE(at) === 0x02014b50) {
    const method = file.readUInt16LE(at + 10);
    const size = file.readUInt32LE(at + 20);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => file.readUInt16LE(at + field));
    const name = file.toString('utf8', at + 46, at + 46 + nameLength!);
    const local = file.readUInt32LE(at + 42);
    const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28);
    const packed = file.subarray(start, start + size);
    arrays.set(name.replace(/\.npy$/, ''), parseNpy(method === 0 ? packed : inflateRawSync(packed)));
    at += 46 + nameLength! + extraLength! + commentLength!;
  }
  return arrays;
}

/** The array as an input of ONNX Runtime. */
export function toTensor({ descr, dims, data }: NpyArray): ort.Tensor {
  const buffer = new Uint8Array(data).buffer;
  switch (descr) {
    case '<f4':
      return new ort.Tensor('float32', new Float32Array(buffer), dims);
    case '<f2':
      return new ort.Tensor('float16', new Uint16Array(buffer), dims);
    case '<i8':
      return new ort.Tensor('int64', new BigInt64Array(buffer), dims);
    default:
      throw new Error(`no tensor type for ${descr}`);
  }
}

/** The array's numbers. */
export function toNumbers({ descr, data }: NpyArray): ArrayLike<number> {
  const buffer = new Uint8Array(data).buffer;
  if (descr === '<f8') return new Float64Array(buffer);
  if (descr === '<f4') return new Float32Array(buffer);
  throw new Error(`no numbers for ${descr}`);
}

function parseNpy(bytes: Buffer): NpyArray {
  const headerLength = bytes[6] === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  const start = (bytes[6] === 1 ? 10 : 12) + headerLength;
  const header = bytes.toString('latin1', 10, start);
  const descr = /'descr': '([^']+)'/.exec(header)?.[1] ?? '';
  const dims = [...(/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? '').matchAll(/\d+/g)].map(([dim]) => Number(dim));
  return { descr, dims, data: bytes.subarray(start) };
}
