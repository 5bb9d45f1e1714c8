/** The nearest float16 number, ties to even, as IEEE 754 has it: what a cast to float16 makes of a value. */
export function roundToFloat16(value: number): number {
  const magnitude = Math.abs(value);
  if (!(magnitude < 65520)) return Number.isNaN(value) ? value : Math.sign(value) * Number.POSITIVE_INFINITY;
  // The spacing of float16 numbers around the value; below 2⁻¹⁴ they are subnormal, 2⁻²⁴ apart.
  const exponent = magnitude < 2 ** -14 ? -14 : Math.floor(Math.log2(magnitude));
  const step = 2 ** (exponent - 10);
  // Adding and subtracting 2⁵²·1.5 rounds a float64 number to an integer, ties to even.
  const rounded = (magnitude / step + ROUNDER - ROUNDER) * step;
  return value < 0 || Object.is(value, -0) ? -rounded : rounded;
}

const ROUNDER = 1.5 * 2 ** 52;
