/** The nearest bfloat16 number, ties to even: what a cast of a float32 number to bfloat16 makes of it. */
export function roundToBfloat16(value: number): number {
  if (Number.isNaN(value)) return value;
  const words = new Uint32Array(Float32Array.of(value).buffer);
  const bits = words[0]!;
  words[0] = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(words.buffer)[0]!;
}
