/** Norms by DoraScale itself: the operator library's kernel where it is there, else the function's body. */

import { ELEMENT_BYTES } from '@ort-dora/adapters';
import {
  type DoraScaleForm,
  denseNorm,
  makeOperatorModel,
  type NormCompute,
  type NormRequest,
} from '@ort-dora/rewriter';
import { describeRuntime, RuntimeError, type TensorData } from '@ort-dora/runtime';
import { Memory, type Range, readAll, readOutputs } from './matrix-ranges.js';
import { OperatorSessions } from './operator-sessions.js';
import { readAhead } from './read-ahead.js';

/** Any opset that the bodies are written for; ONNX Runtime reads the body at this one. */
const opset = 18;

/**
 * Computes g by a model of one DoraScale node, whose inputs are the module's tensors as they are stored: W and B a range of
 * outputs at a time, the next range (or module) being read while one is computed on all cores. g of an output depends on
 * no other, so ranges give the same bits as the whole. Where the runtime cannot do it, the rewriter's own float64
 * computation stands in.
 */
export const computeNorm = normCompute();

/** @param rangeBytes of W to compute at once, at least a task of the kernel; default: what is best for a request */
export function normCompute(rangeBytes?: number): NormCompute {
  return async function* (requests) {
    await using sessions = new OperatorSessions();
    let gain = new Float32Array(0);
    let failed = false;
    const best = describeRuntime().opsLibrary.status === 'registered' ? bytesForKernel : () => BYTES_FOR_BODY;
    const works = requests.map((request) => ({ request, ranges: rangesOf(request, rangeBytes ?? best(request)) }));
    for await (const { request, range, feeds } of readAhead(loadRanges(works))) {
      const { outFeatures, signal } = request;
      signal?.throwIfAborted();
      if (range.first === 0) {
        gain = new Float32Array(outFeatures);
        failed = false;
      }
      try {
        if (!failed) gain.set(await runDoraScale(sessions, request, feeds), range.first);
      } catch (error) {
        // Slower, but it runs everywhere: stock onnxruntime-node has no bfloat16, for one.
        if (!(error instanceof RuntimeError)) throw error;
        failed = true;
      }
      if (range.first + range.count === outFeatures) yield failed ? await denseNorm(request) : gain;
    }
  };
}

interface LoadedRange {
  readonly request: NormRequest;
  readonly range: Range;
  /** Overwritten when the range after the next is loaded. */
  readonly feeds: Readonly<Record<'W' | 'A' | 'B' | 'm', TensorData>>;
}

interface Work {
  readonly request: NormRequest;
  readonly ranges: readonly Range[];
}

async function* loadRanges(works: readonly Work[]): AsyncGenerator<LoadedRange> {
  const largest = (bytes: (work: Work) => number) => twice(Math.max(0, ...works.map(bytes)));
  const w = largest(
    ({ request: { weight, inFeatures }, ranges }) => ranges[0]!.count * inFeatures * ELEMENT_BYTES[weight.type],
  );
  const b = largest(({ request: { loraB, rank }, ranges }) => ranges[0]!.count * rank * ELEMENT_BYTES[loraB.type]);
  const a = largest(({ request }) => request.loraA.byteLength);
  const m = largest(({ request }) => request.magnitude.byteLength);
  for (const { request, ranges } of works) {
    const { weight, loraA, loraB, magnitude, transW, transA, transB, outFeatures: outputs, inFeatures, rank } = request;
    const A = await readAll(loraA, transA === 0 ? [rank, inFeatures] : [inFeatures, rank], a());
    const whole = await readAll(magnitude, [outputs], m());
    for (const range of ranges) {
      const W = await readOutputs({ tensor: weight, transposed: transW, outputs, inner: inFeatures }, range, w());
      const B = await readOutputs({ tensor: loraB, transposed: transB, outputs, inner: rank }, range, b());
      yield { request, range, feeds: { W, A, B, m: rangeOf(whole, range) } };
    }
  }
}

/** Memory in turns: one piece is computed on while the other is filled. */
function twice(size: number): () => Memory {
  let [next, other] = [new Memory(size), new Memory(size)];
  return () => {
    [next, other] = [other, next];
    return other;
  };
}

const rangeOf = ({ type, data }: TensorData, { first, count }: Range) =>
  ({ type, dims: [count], data: (data as Float32Array).subarray(first, first + count) }) as TensorData;

const MEBIBYTE = 2 ** 20;

/** Outputs to compute at once: ranges of one size, in whole tasks of the kernel, the last perhaps less. */
function rangesOf({ weight, outFeatures, inFeatures }: NormRequest, rangeBytes: number): readonly Range[] {
  const outputBytes = Math.max(1, inFeatures * ELEMENT_BYTES[weight.type]);
  const most = Math.max(1, Math.floor(rangeBytes / outputBytes));
  const number = Math.max(1, Math.ceil(outFeatures / most));
  const size = Math.ceil(outFeatures / number / TASK_ROWS) * TASK_ROWS;
  return Array.from({ length: number }, (_, index) => {
    const first = Math.min(index * size, outFeatures);
    return { first, count: Math.min(size, outFeatures - first) };
  }).filter(({ count }, index) => index === 0 || count > 0);
}

const TASK_ROWS = 128;

const MOST_BYTES = 64 * MEBIBYTE;

/**
 * Bytes of W at once. The kernel computes A·Aᵀ for every range again, r/2 multiplications for each r of an output: 16·r outputs
 * make that a thirtieth. A strip of columns is cut out of rows that are read whole, so fewer strips are less to read.
 */
function bytesForKernel({ weight, transW, inFeatures, rank }: NormRequest): number {
  const wanted = transW === 1 ? MOST_BYTES : 16 * rank * inFeatures * ELEMENT_BYTES[weight.type];
  return Math.min(MOST_BYTES, Math.max(16 * MEBIBYTE, wanted));
}

/** The function's body makes several float32 matrices of the size of W. */
const BYTES_FOR_BODY = 8 * MEBIBYTE;

async function runDoraScale(
  sessions: OperatorSessions,
  { weight, loraA, magnitude, transW, transA, transB, scaling, signal }: NormRequest,
  feeds: LoadedRange['feeds'],
): Promise<Float32Array> {
  const layouts = { transW, transA, transB };
  const form: DoraScaleForm = {
    op: 'DoraScale',
    weight: weight.type,
    adapter: loraA.type,
    magnitude: magnitude.type,
    ...layouts,
  };
  const key = JSON.stringify([form, scaling]);
  const session = await sessions.get(key, () => makeOperatorModel(form, { opset, target: 'cpu', scaling }), signal);
  const { g } = await session.run(feeds, signal ? { signal } : {});
  return g!.data as Float32Array;
}
