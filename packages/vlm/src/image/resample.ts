// Resizing with antialiasing, bit for bit as the Python processors do it: Pillow's ImagingResample (src/libImaging/Resample.c) or
// torchvision's uint8 kernel (ATen's UpSampleKernel.cpp). Both filter rows, round to 8 bits, and filter columns; they differ in how
// many bits a weight has, and Pillow does not always take the rows first.
import { setImmediate } from 'node:timers/promises';
import type { RgbImage } from './rgb-image.js';

export type ResampleFilter = 'lanczos' | 'bilinear' | 'bicubic';

/** Whose weights: Pillow's have 22 fractional bits, torchvision's as many as let the largest fit into an int16. */
export type ResampleArithmetic = 'pillow' | 'torchvision';

/**
 * Resizes to exactly width × height pixels; the image itself where it has that size. Lets the event loop run every few
 * milliseconds.
 */
export async function resample(
  image: RgbImage,
  width: number,
  height: number,
  filter: ResampleFilter,
  arithmetic: ResampleArithmetic,
): Promise<RgbImage> {
  const rows = (from: RgbImage) =>
    width === from.width ? from : resampleRows(from, weightsFor(from.width, width, filter, arithmetic));
  const columns = (from: RgbImage) =>
    height === from.height ? from : resampleColumns(from, weightsFor(from.height, height, filter, arithmetic));
  // Since version 13, Pillow filters columns first where that makes a picture much smaller.
  const shrinksMost = height < image.height && image.height - height > (image.width - width) * 2;
  return arithmetic === 'pillow' && shrinksMost ? rows(await columns(image)) : columns(await rows(image));
}

/** The input pixels that one output pixel is made of, for every output pixel of a row or column. */
interface Weights {
  /** The first input pixel of each. */
  readonly first: Int32Array;
  /** How many input pixels each has, at most `stride`. */
  readonly count: Int32Array;
  /** `stride` fixed-point weights each. */
  readonly weights: Int32Array;
  readonly stride: number;
  /** Fractional bits of a weight. */
  readonly bits: number;
}

const PILLOW_BITS = 22;
const INT16_LIMIT = 2 ** 15;

const KERNELS: Readonly<Record<ResampleFilter, { readonly support: number; readonly at: (x: number) => number }>> = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, at: bicubic },
  lanczos: { support: 3, at: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

function bicubic(signed: number): number {
  const a = -0.5;
  const x = Math.abs(signed);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

function sinc(x: number): number {
  if (x === 0) return 1;
  return Math.sin(x * Math.PI) / (x * Math.PI);
}

function weightsFor(
  inputSize: number,
  outputSize: number,
  filter: ResampleFilter,
  arithmetic: ResampleArithmetic,
): Weights {
  const kernel = KERNELS[filter];
  const scale = inputSize / outputSize;
  const filterScale = Math.max(scale, 1);
  const support = kernel.support * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(outputSize);
  const count = new Int32Array(outputSize);
  const exact = new Float64Array(outputSize * stride);
  let largest = 0;
  for (let i = 0; i < outputSize; i++) {
    const center = (i + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const length = Math.min(Math.trunc(center + support + 0.5), inputSize) - start;
    const own = exact.subarray(i * stride, i * stride + length);
    let sum = 0;
    for (let j = 0; j < length; j++) {
      const weight = kernel.at((j + start - center + 0.5) * (1 / filterScale));
      own[j] = weight;
      sum += weight;
    }
    for (let j = 0; j < length && sum !== 0; j++) {
      own[j]! /= sum;
      largest = Math.max(largest, own[j]!);
    }
    first[i] = start;
    count[i] = length;
  }
  const bits = arithmetic === 'pillow' ? PILLOW_BITS : int16Bits(largest);
  // Rounds half away from zero, as the C code's cast of ±0.5 + x does.
  const weights = Int32Array.from(exact, (weight) => Math.trunc(weight * 2 ** bits + (weight < 0 ? -0.5 : 0.5)));
  return { first, count, weights, stride, bits };
}

/** The most fractional bits with which the largest weight still fits into an int16. */
function int16Bits(largest: number): number {
  let bits = 0;
  while (bits < PILLOW_BITS && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < INT16_LIMIT) bits++;
  return bits;
}

/** Multiplications between two turns of the event loop: some 5 ms. */
const SLICE = 4_000_000;

async function resampleRows(image: RgbImage, { first, count, weights, stride, bits }: Weights): Promise<RgbImage> {
  const width = first.length;
  const output = new Uint8Array(width * image.height * 3);
  const rowsPerSlice = Math.max(1, Math.floor(SLICE / (width * stride * 3)));
  const half = 2 ** (bits - 1);
  for (let start = 0; start < image.height; start += rowsPerSlice) {
    if (start > 0) await setImmediate();
    const end = Math.min(start + rowsPerSlice, image.height);
    for (let y = start; y < end; y++) {
      const row = image.data.subarray(y * image.width * 3, (y + 1) * image.width * 3);
      for (let x = 0, to = y * width * 3; x < width; x++, to += 3) {
        let [red, green, blue] = [half, half, half];
        const end = count[x]!;
        for (let k = 0, from = first[x]! * 3, at = x * stride; k < end; k++, from += 3, at++) {
          const weight = weights[at]!;
          red += row[from]! * weight;
          green += row[from + 1]! * weight;
          blue += row[from + 2]! * weight;
        }
        output[to] = clip(red >> bits);
        output[to + 1] = clip(green >> bits);
        output[to + 2] = clip(blue >> bits);
      }
    }
  }
  return { width, height: image.height, data: output };
}

async function resampleColumns(image: RgbImage, { first, count, weights, stride, bits }: Weights): Promise<RgbImage> {
  const height = first.length;
  const length = image.width * 3;
  const output = new Uint8Array(length * height);
  const sums = new Int32Array(length);
  const rowsPerSlice = Math.max(1, Math.floor(SLICE / (length * stride)));
  const half = 2 ** (bits - 1);
  for (let y = 0; y < height; y++) {
    if (y > 0 && y % rowsPerSlice === 0) await setImmediate();
    sums.fill(half);
    for (let k = 0; k < count[y]!; k++) {
      const weight = weights[y * stride + k]!;
      const from = (first[y]! + k) * length;
      for (let i = 0; i < length; i++) sums[i]! += image.data[from + i]! * weight;
    }
    for (let i = 0, to = y * length; i < length; i++, to++) output[to] = clip(sums[i]! >> bits);
  }
  return { width: image.width, height, data: output };
}

function clip(value: number): number {
  return value < 0 ? 0 : Math.min(value, 255);
}
