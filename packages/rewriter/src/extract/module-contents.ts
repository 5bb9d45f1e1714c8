/** One module as PEFT stores it. */

import type { ModuleContents, TensorContents } from '@ort-dora/adapters';
import type { FusedMatrix, FusedModule } from '../fused/fused-module.js';
import { gainOf, ratioToNorm } from '../fused/gain.js';
import type { NormCompute } from '../norm/norm.js';
import { RewriteError } from '../rewrite/error.js';
import { DATA_TYPE } from '../tensors/elements.js';
import { encodeRounded } from '../tensors/round.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';

export interface ContentsOptions {
  readonly useDora: boolean;
  readonly compute: NormCompute;
  readonly signal?: AbortSignal;
}

/** @throws RewriteError `extract` for g other than 1 in an adapter that is said to be without DoRA; `norm` */
export async function moduleContents(module: FusedModule, options: ContentsOptions): Promise<ModuleContents> {
  const { path, kind, rank, loraA, loraB } = module;
  const flat = loraA.tensor.dims.length === 2;
  const parts = {
    path,
    kind,
    loraA: flat ? asRows(loraA, [rank, module.inFeatures]) : asRows(loraA, loraA.tensor.dims),
    loraB: flat ? asRows(loraB, [module.outFeatures, rank]) : asRows(loraB, loraB.tensor.dims),
  };
  if (options.useDora) return { ...parts, magnitude: await magnitudeOf(module, options) };
  if (!(await isPlainLora([module]))) {
    throw new RewriteError('extract', `${path} has a g other than 1, and its adapter is said to be without DoRA`);
  }
  return parts;
}

/** Whether g is 1 everywhere: LoRA without magnitudes, as attaching writes it. */
export async function isPlainLora(modules: readonly FusedModule[]): Promise<boolean> {
  for (const module of modules) {
    if (module.gain.kind === 'computed') return false;
    const gain = await gainOf(module, refuseToCompute);
    if (!gain.every((value) => value === 1)) return false;
  }
  return true;
}

// biome-ignore lint/correctness/useYield: nothing is ever asked of it
const refuseToCompute: NormCompute = async function* ([request]) {
  throw new Error(`${request?.path} stores g`);
};

/** A matrix in PEFT's own layout. */
function asRows({ tensor, transposed }: FusedMatrix, dims: readonly number[]): TensorContents {
  const { type, byteLength } = tensor;
  if (transposed === 0) return { type, dims, byteLength, read: (start, end) => tensor.read(start, end) };
  return contents(type, dims, byteLength, async () => transposeElements(await tensor.read(), type, dims));
}

/** Elements of a matrix stored `[columns, rows]`, as bytes of `[rows, columns]`. */
function transposeElements(bytes: Uint8Array, type: FloatTensor['type'], dims: readonly number[]): Uint8Array {
  const [rows = 0, columns = 0] = dims;
  const [from, to] =
    type === 'float32'
      ? [new Uint32Array(bytes.slice().buffer), new Uint32Array(rows * columns)]
      : [new Uint16Array(bytes.slice().buffer), new Uint16Array(rows * columns)];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) to[row * columns + column] = from[column * rows + row]!;
  }
  return new Uint8Array(to.buffer);
}

/** m: as the graph has it, else g·n with n = ‖W + s·B·A‖, in the type of A, which PEFT gives m too. */
async function magnitudeOf(module: FusedModule, { compute, signal }: ContentsOptions): Promise<TensorContents> {
  const { outFeatures, loraA, gain } = module;
  const axes = loraA.tensor.dims.length;
  const dims = axes === 2 ? [outFeatures] : [1, outFeatures, ...Array<number>(axes - 2).fill(1)];
  if (gain.kind === 'computed') {
    const { type, byteLength } = gain.magnitude;
    return { type, dims, byteLength, read: (start, end) => gain.magnitude.read(start, end) };
  }
  const stored = await gainOf(module, compute);
  const inverse = await ratioToNorm(module, ones(outFeatures), compute, signal);
  const magnitude = Float64Array.from(stored, (value, row) => value / inverse[row]!);
  const { type } = loraA.tensor;
  const bytes = encodeRounded(magnitude, type);
  return contents(type, dims, bytes.length, async () => bytes);
}

function ones(count: number): FloatTensor {
  const bytes = new Uint8Array(new Float32Array(count).fill(1).buffer);
  return {
    name: 'ones',
    type: 'float32',
    dataType: DATA_TYPE.float32,
    dims: [count],
    byteLength: bytes.length,
    read: async (start, end) => bytes.subarray(start, end),
  };
}

/** Contents that are computed whole, once. */
function contents(
  type: FloatTensor['type'],
  dims: readonly number[],
  byteLength: number,
  compute: () => Promise<Uint8Array>,
): TensorContents {
  let made: Promise<Uint8Array> | undefined;
  return {
    type,
    dims,
    byteLength,
    read: async (start, end) => {
      made ??= compute();
      return (await made).subarray(start, end);
    },
  };
}
