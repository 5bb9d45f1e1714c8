/** Whether a changed model and its rewrite compute the same. */
import type { ModelProto } from '@ort-dora/onnx';
import type * as ort from 'onnxruntime-node';
import { type Feeds, runModel } from '../support/ort.js';
import { rewritten } from '../support/rewrite.js';
import { numbersOf } from '../support/tensors.js';

export type Outcome =
  /** ONNX Runtime does not take the model. */
  | { readonly kind: 'invalid' }
  /** No module is fused, or fewer than in the original. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'fused' }
  | { readonly kind: 'wrong'; readonly why: string };

/** Rewrites a model of `modules` modules and compares both on all inputs. */
export async function judge(model: ModelProto, modules: number, inputs: readonly Feeds[]): Promise<Outcome> {
  const { model: result, report } = await rewritten(model, { target: 'cpu' });
  const outcome = { kind: report.totals.fused < modules ? 'refused' : 'fused' } as const;
  for (const feeds of inputs) {
    const before = await runModel(model, feeds).catch(() => undefined);
    if (before === undefined) return { kind: 'invalid' };
    // What is left as it was needs no run.
    if (report.totals.fused === 0) continue;
    const after = await runModel(result, feeds).catch((error: Error) => error);
    if (after instanceof Error) return { kind: 'wrong', why: `the rewrite does not run: ${after.message}` };
    for (const [name, tensor] of Object.entries(before)) {
      const why = difference(tensor, after[name]);
      if (why !== undefined) return { kind: 'wrong', why: `${name}: ${why}` };
    }
  }
  return outcome;
}

/** Relative to the largest number: what float32 sums in another order, and twice what one rounding to float16, may differ by. */
const TOLERANCE: Readonly<Record<string, number>> = { float32: 2e-5, float16: 2 ** -9 };

function difference(expected: ort.Tensor, actual: ort.Tensor | undefined): string | undefined {
  if (actual === undefined || actual.type !== expected.type) return `${actual?.type} instead of ${expected.type}`;
  if (actual.dims.join() !== expected.dims.join()) return `[${actual.dims}] instead of [${expected.dims}]`;
  if (TOLERANCE[expected.type] === undefined) return undefined;
  const [a, b] = [numbersOf(actual), numbersOf(expected)];
  let largest = 0;
  for (let index = 0; index < b.length; index++) {
    if (Number.isFinite(b[index])) largest = Math.max(largest, Math.abs(b[index]!));
  }
  const limit = TOLERANCE[expected.type]! * largest;
  for (let index = 0; index < b.length; index++) {
    if (!Number.isFinite(b[index]) && !Number.isFinite(a[index])) continue;
    if (Object.is(a[index], b[index]) || Math.abs(a[index]! - b[index]!) <= limit) continue;
    return `element ${index} is ${a[index]} instead of ${b[index]}, the largest ${largest}`;
  }
  return undefined;
}
