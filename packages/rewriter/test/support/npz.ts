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
  return new Map([...readZip(path)].map(([name, file]) => [name.replace(/\.npy$/, ''), parseNpy(file)]));
}

/** The files of a ZIP archive. */
export function readZip(path: string): Map<string, Buffer> {
  const archive = readFileSync(path);
  const files = new Map<string, Buffer>();
  let at = archive.readUInt32LE(archive.lastIndexOf(Buffer.from('PK\x05\x06')) + 16);
  while (archive.readUInt32LE(at) === 0x02014b50) {
    const method = archive.readUInt16LE(at + 10);
    const size = archive.readUInt32LE(at + 20);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => archive.readUInt16LE(at + field));
    const local = archive.readUInt32LE(at + 42);
    const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
    const packed = archive.subarray(start, start + size);
    const name = archive.toString('utf8', at + 46, at + 46 + nameLength!);
    files.set(name, method === 0 ? packed : inflateRawSync(packed));
    at += 46 + nameLength! + extraLength! + commentLength!;
  }
  return files;
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

export function parseNpy(bytes: Buffer): NpyArray {
  const headerLength = bytes[6] === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  const start = (bytes[6] === 1 ? 10 : 12) + headerLength;
  const header = bytes.toString('latin1', 10, start);
  const descr = /'descr': '([^']+)'/.exec(header)?.[1] ?? '';
  const dims = [...(/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? '').matchAll(/\d+/g)].map(([dim]) => Number(dim));
  return { descr, dims, data: bytes.subarray(start) };
}
