/** Safetensors files by hand, right and wrong. */

/** A file of any header text and data. */
export function safetensors(header: string | object, data: Uint8Array | number = 0): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, typeof data === 'number' ? new Uint8Array(data) : data]);
}

/** The header of one tensor, with any of its fields replaced. */
export const entry = (fields: object = {}) => ({ dtype: 'F32', shape: [2, 3], data_offsets: [0, 24], ...fields });
