/** Modules inside subgraphs and functions, taken out of them: what runs them, and inputs made for them. */

import { elementTypeOf, isElementType as isKnownType, type Scope } from '@ort-dora/onnx';
import { type Lifted, lift } from './graph/lift.js';
import { randomStream } from './inputs/random.js';
import { boundaries, isComposition, type ModuleDescription } from './module-description.js';
import type { Values } from './module-runs.js';
import type { OpenedModel } from './opened-model.js';
import { type ElementType, elementCount, fromFloat64, isElementType, isHalfType, type TensorData } from './tensor.js';
import type { ModelPair } from './verify-models.js';

/** Modules of one scope, or of one call of a function. */
export interface InnerGroup {
  readonly original: OpenedModel;
  readonly rewritten: OpenedModel;
  /** With the names that their values have there. */
  readonly modules: readonly ModuleDescription[];
  /** For each run, what the modules begin with. */
  readonly inputs: readonly Values[];
}

/** Rows of the generated inputs of each run: several, and one. */
const LEADING_DIMS: readonly (readonly number[])[] = [
  [2, 5],
  [1, 1],
];
/** Height, width and depth of what a convolution gives. */
const SPATIAL = 5;

export function innerGroups(
  modules: readonly ModuleDescription[],
  { original, rewritten, precision }: ModelPair,
  seed: number,
  leaveOut: (module: ModuleDescription, reason: string) => void,
): InnerGroup[] {
  const groups: InnerGroup[] = [];
  let waiting = [...modules];
  for (let [first] = waiting; first !== undefined; [first] = waiting) {
    const { scope, values } = first;
    const before = lift(original.proto, scope, values.y);
    const after = lift(rewritten.proto, scope, values.y);
    const failure =
      [before, after].find((each) => typeof each === 'string') ??
      (before.length === after.length ? undefined : `${scope} is not called as often in the rewritten model`);
    if (failure !== undefined) {
      leaveOut(first, failure as string);
      waiting = waiting.slice(1);
      continue;
    }
    const [calls, others] = [before as readonly Lifted[], after as readonly Lifted[]];
    const isHere = (module: ModuleDescription) => module.scope === scope && calls[0]!.scope.defines(module.values.y);
    const members = waiting.filter(isHere);
    waiting = waiting.filter((module) => !isHere(module));
    for (const [index, call] of calls.entries()) {
      groups.push({
        original: original.withModel(call.model),
        rewritten: rewritten.withModel(others[index]!.model),
        modules: members.map((module) => renamed(module, call, others[index]!)),
        inputs: LEADING_DIMS.map((leading, run) =>
          makeInputs(members, call, { leading, seed: seed * 1000 + run, widened: precision === 'float32' }),
        ),
      });
    }
  }
  return groups;
}

function renamed(module: ModuleDescription, before: Lifted, after: Lifted): ModuleDescription {
  const { x, y, base, weight, loraA, loraB, lora, magnitude, bias, product, gain } = module.values;
  const name = before.nameOf;
  return {
    ...module,
    values: {
      x: name(x),
      y: name(y),
      base: name(base),
      weight: weight === null ? null : name(weight),
      loraA: name(loraA),
      loraB: name(loraB),
      ...(lora !== undefined && { lora: name(lora) }),
      magnitude: magnitude === null ? null : name(magnitude),
      bias: bias === null ? null : name(bias),
      ...(product !== undefined && { product: name(product) }),
      gain: after.nameOf(gain),
    },
  };
}

interface InputRequest {
  readonly leading: readonly number[];
  readonly seed: number;
  /** Everything in float32. */
  readonly widened: boolean;
}

function makeInputs(modules: readonly ModuleDescription[], { nameOf, scope }: Lifted, request: InputRequest): Values {
  const inputs = new Map<string, TensorData>();
  for (const module of modules) {
    for (const value of boundaries(module)) {
      const name = nameOf(value);
      const { type, dims } = typeOf(module, value, scope, request);
      if (inputs.has(name)) continue;
      const random = randomStream(request.seed, value);
      inputs.set(name, fromFloat64(type, dims, Float64Array.from({ length: elementCount(dims) }, random.normal)));
    }
  }
  return inputs;
}

/** As the file declares it, or as such a module takes it. */
function typeOf(
  module: ModuleDescription,
  value: string,
  scope: Scope,
  { leading, widened }: InputRequest,
): { type: ElementType; dims: number[] } {
  const declared = scope.tensorType(value);
  const { dtypes, values } = module;
  const declaredType = declared && isKnownType(declared.elemType) ? elementTypeOf(declared.elemType).name : undefined;
  const usual = isComposition(module) && value === values.lora ? dtypes.adapter : dtypes.weight;
  const own = [declaredType, usual].find((each): each is ElementType => each !== undefined && isElementType(each));
  const type = own === undefined || (widened && isHalfType(own)) ? 'float32' : own;

  const kernelAxes = (scope.tensorType(values.weight ?? '')?.dims?.length ?? 4) - 2;
  const usualDims = usualShape(module, value, leading, kernelAxes);
  const shape = declared?.dims;
  if (shape === undefined) return { type, dims: usualDims };
  return { type, dims: ofRank(usualDims, shape.length).map((size, axis) => fixed(shape[axis]) ?? size) };
}

const fixed = (dim: unknown) => (typeof dim === 'number' ? dim : undefined);

function usualShape(
  module: ModuleDescription,
  value: string,
  leading: readonly number[],
  kernelAxes: number,
): number[] {
  const [out, inner] = module.weightShape ?? [1, 1];
  const [batch = 1, rows = 1] = leading;
  if (module.kind === 'conv') return [batch, out, ...Array<number>(kernelAxes).fill(SPATIAL)];
  const width = isComposition(module) || value !== module.values.x ? out : inner;
  // Gemm takes matrices only.
  return module.form.base.startsWith('Gemm') ? [batch * rows, width] : [batch, rows, width];
}

/** More or fewer axes in front. */
function ofRank(dims: readonly number[], rank: number): number[] {
  const missing = Math.max(0, rank - dims.length);
  return [...Array<number>(missing).fill(1), ...dims.slice(Math.max(0, dims.length - rank))];
}
