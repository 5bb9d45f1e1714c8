import { DataType } from '@ort-dora/onnx';
import type { BodyValue, BodyWriter } from './body.js';
import { type BankForm, type BodyOptions, productType } from './form.js';

/** The adapters of the runs, one entry of the first axis each. */
export interface RunAdapters {
  /** Their number n, as an int64 vector of one element. */
  readonly runs: string;
  /** `[n, in, max_rank]`, in the type that products with it are taken in. */
  readonly at: BodyValue;
  /** `[n, max_rank, out]`, likewise. */
  readonly bt: BodyValue;
  /** float32 `[n, 1, out]`. */
  readonly g: BodyValue;
  /** float32 `[n, 1, 1]`. */
  readonly s: BodyValue;
  /** Bool `[n, 1, 1]`: whether the run has slot −1. */
  readonly baseOnly: string;
}

/**
 * Takes the adapter of every run out of the bank: `in` and `out` name int64 vectors of one element.
 *
 * What is cut out first is the module's part of the rows between the least and the greatest slot in use: gathering rows
 * of the whole bank would copy every module's adapter for each module. Slot −1 takes slot 0's place and is masked later.
 */
export function runAdapters(
  body: BodyWriter,
  form: BankForm,
  options: BodyOptions,
  { inputs, outputs }: { readonly inputs: string; readonly outputs: string },
): RunAdapters {
  const one = body.ints('one', [1]);
  const zero = body.ints('zero', [0]);
  const slot = body.node('slot_int64', 'Cast', ['slot'], { to: { kind: 'int', value: DataType.INT64 } });
  const chosen = body.node('chosen', 'Max', [slot, zero]);
  const first = body.node('first', 'ReduceMin', [chosen]);
  const end = body.node('end', 'Add', [body.node('last', 'ReduceMax', [chosen]), one]);
  const local = body.node('local', 'Sub', [chosen, first]);
  const axes = body.ints('axes', [0, 1]);
  const concat = { axis: { kind: 'int', value: 0 } } as const;

  const part = (source: string, offset: string, length: string, shape: readonly string[], name: string) => {
    const start = body.intAttribute(offset);
    const stop = body.node(`${name}_stop`, 'Add', [start, length]);
    const starts = body.node(`${name}_starts`, 'Concat', [first, start], concat);
    const ends = body.node(`${name}_ends`, 'Concat', [end, stop], concat);
    const rows = body.node(`${name}_rows`, 'Slice', [source, starts, ends, axes]);
    const gathered = body.node(`${name}_gathered`, 'Gather', [rows, local], concat);
    return body.node(name, 'Reshape', [gathered, body.node(`${name}_shape`, 'Concat', [...shape], concat)]);
  };
  const adapter = (offset: 'offset_a' | 'offset_b', shape: readonly [string, string], name: string) => {
    const length = body.node(`${name}_length`, 'Mul', [...shape]);
    const stored = { name: part('bank', offset, length, [runs, ...shape], name), type: form.adapter };
    const turned = body.node(`${name}t`, 'Transpose', [body.cast(stored, type).name], {
      perm: { kind: 'ints', value: [0, 2, 1] },
    });
    return { name: turned, type };
  };

  const type = productType(form.adapter, options.target);
  const runs = body.node('runs', 'Shape', ['slot']);
  const maxRank = body.intAttribute('max_rank');
  const perRun = body.node('per_run', 'Concat', [runs, one, one], concat);
  return {
    runs,
    at: adapter('offset_a', [maxRank, inputs], 'a'),
    bt: adapter('offset_b', [outputs, maxRank], 'b'),
    g: { name: part('gains', 'offset_g', outputs, [runs, one, outputs], 'g'), type: 'float32' },
    s: {
      name: body.node('s', 'Reshape', [body.node('s_gathered', 'Gather', ['scaling', chosen], concat), perRun]),
      type: 'float32',
    },
    baseOnly: body.node('base_only', 'Reshape', [body.node('slot_is_none', 'Less', [slot, zero]), perRun]),
  };
}

/** `s·(x·Aᵀ)·Bᵀ` in float32, `[n, rows of a run, out]`, for x `[n, rows of a run, in]`. */
export function lowRankProduct(body: BodyWriter, x: BodyValue, { at, bt, s }: RunAdapters): BodyValue {
  const reduced = body.binary('MatMul', body.cast(x, at.type), at, 'reduced');
  if (at.type === 'float32') return body.binary('MatMul', body.binary('Mul', reduced, s, 'scaled'), bt, 'lora');
  return body.binary('Mul', body.cast(body.binary('MatMul', reduced, bt, 'expanded'), 'float32'), s, 'lora');
}

/** `value` with its rows split into `runs`: `[n, rows of a run, size]`, `size` being its last extent. */
export function splitIntoRuns(body: BodyWriter, value: BodyValue, runs: string, size: string): BodyValue {
  const shape = body.node(`${value.name}_runs_shape`, 'Concat', [runs, body.ints(`${value.name}_rest`, [-1]), size], {
    axis: { kind: 'int', value: 0 },
  });
  return { name: body.node(`${value.name}_runs`, 'Reshape', [value.name, shape]), type: value.type };
}

/** Chooses per run: `base` as it is where the slot is −1, else `adapted`; then in the shape of `shaped`, which has rows at opsets below 14. */
export function chooseAndJoin(
  body: BodyWriter,
  { baseOnly }: RunAdapters,
  base: BodyValue,
  adapted: BodyValue,
  shaped: string,
): BodyValue {
  const chosen = body.node('chosen_runs', 'Where', [baseOnly, base.name, adapted.name]);
  const shape = body.node('joined_shape', 'Shape', [shaped]);
  // Without `allowzero` a size of 0 in the shape means that of the input, which has another rank.
  const allowzero = body.opset < 14 ? {} : { allowzero: { kind: 'int', value: 1 } as const };
  return { name: body.node('joined', 'Reshape', [chosen, shape], allowzero), type: base.type };
}

/** The extent `axis` of a value, as an int64 vector of one element. */
export function extent(body: BodyWriter, value: string, axis: number, name: string): string {
  const shape = body.node(`${name}_shape`, 'Shape', [value]);
  return body.node(name, 'Gather', [shape, body.ints(`${name}_axis`, [axis])], { axis: { kind: 'int', value: 0 } });
}
