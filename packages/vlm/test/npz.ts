// Float32 arrays of a file that numpy.savez_compressed wrote.
import { inflateRawSync } from 'node:zlib';

/** By name, without `.npy`. Shapes are left to the caller. */
export function readFloats(file: Buffer): Map<string, Float32Array> {
  const end = file.lastIndexOf('PK\x05\x06', undefined, 'latin1');
  const arrays = new Map<string, Float32Array>();
  let at = file.readUInt32LE(end + 16);
  for (let entry = 0; entry < file.readUInt16LE(end + 10); entry++) {
    const [nameLength, extraLength] = [file.readUInt16LE(at + 28), file.readUInt16LE(at + 30)];
    const name = file.toString('utf8', at + 46, at + 46 + nameLength);
    const local = file.readUInt32LE(at + 42);
    const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28);
    const npy = inflateRawSync(file.subarray(start, start + file.readUInt32LE(at + 20)));
    if (!npy.toString('latin1', 10, 40).includes("'<f4'")) throw new Error(`${name} is not float32`);
    const data = npy.subarray(10 + npy.readUInt16LE(8));
    arrays.set(
      name.replace(/\.npy$/, ''),
      new Float32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.length)),
    );
    at += 46 + nameLength + extraLength + file.readUInt16LE(at + 32);
  }
  return arrays;
}
