import type { ModelView, NodeProto, Scope, TensorProto } from '@ort-dora/onnx';
import { inferOutputs, type Shape, type ValueType } from './inference.js';
import type { MatchScope } from './scope.js';
import { isStandard } from './trace.js';
import { unwrapCall } from './wrapper-functions.js';

/** The numbers of a tensor of few elements, wherever they are stored; undefined for larger ones and other types. */
export type SmallConstants = (tensor: TensorProto) => readonly number[] | undefined;

/** Nested shape arithmetic that is followed at most. */
const DEEPEST_SHAPE_ARITHMETIC = 16;
/** Elements of a computed shape at most. */
const LONGEST_SHAPE = 64;

/** The scopes of a model as matching sees them, in the order of {@link ModelView.scopes}. */
export function matchScopes(view: ModelView, numbers: SmallConstants): ReadonlyMap<Scope, MatchScope> {
  const calls = callSites(view);
  const known = new Map<Scope, ScopeFacts>();
  // Facts of a function follow from its callers, so those come first; what calls itself is invalid and knows nothing.
  const facts = (scope: Scope): ScopeFacts | undefined => {
    if (known.has(scope)) return known.get(scope);
    if (pending.has(scope)) return undefined;
    pending.add(scope);
    const parent = scope.parent === undefined ? undefined : facts(scope.parent);
    const callers = (calls.get(scope) ?? []).map(({ caller, node }) => ({ caller: facts(caller), node }));
    const unwrap = (node: NodeProto) => unwrapCall(view, node, scope.opset());
    const made = new ScopeFacts(scope, parent, callers, numbers, unwrap);
    known.set(scope, made);
    return made;
  };
  const pending = new Set<Scope>();
  return new Map([...view.scopes()].map((scope) => [scope, facts(scope)!]));
}

/** A node that calls a model-local function. */
interface CallSite<T> {
  readonly caller: T;
  readonly node: NodeProto;
}

function callSites(view: ModelView): ReadonlyMap<Scope, readonly CallSite<Scope>[]> {
  const calls = new Map<Scope, CallSite<Scope>[]>();
  if (view.functions.length === 0) return calls;
  for (const caller of view.scopes()) {
    for (const node of caller.nodes) {
      const called = view.functionOf(node);
      const scope = called && view.functionScope(called);
      if (scope === undefined) continue;
      const known = calls.get(scope);
      if (known === undefined) calls.set(scope, [{ caller, node }]);
      else known.push({ caller, node });
    }
  }
  return calls;
}

/** One scope with what is inferred about its values. Inference is done once: what edits add is not asked for. */
class ScopeFacts implements MatchScope {
  readonly path: string;
  readonly #types = new Map<string, ValueType>();
  /** What calls of wrapper functions stand for. */
  readonly #unwrapped = new Map<NodeProto, NodeProto>();
  readonly #knownIntegers = new Map<string, readonly number[] | undefined>();

  constructor(
    private readonly scope: Scope,
    private readonly parent: ScopeFacts | undefined,
    /** Of a function: where it is called. */
    private readonly callers: readonly CallSite<ScopeFacts | undefined>[],
    private readonly numbers: SmallConstants,
    unwrap: (node: NodeProto) => NodeProto | undefined,
  ) {
    this.path = scope.path;
    if (!this.#infer(unwrap, true)) this.#infer(unwrap, false);
  }

  /**
   * Types and shapes of all values. ONNX Runtime runs files whose declared shapes are not what their operators compute:
   * where one contradicts, none is believed, and the answer is false.
   */
  #infer(unwrap: (node: NodeProto) => NodeProto | undefined, believes: boolean): boolean {
    this.#types.clear();
    this.#knownIntegers.clear();
    const known = {
      type: (value: string) => this.#type(value),
      integers: (value: string) => this.integers(value),
    };
    let agrees = true;
    for (const written of this.scope.nodes) {
      const unwrapped = unwrap(written);
      if (unwrapped !== undefined) this.#unwrapped.set(written, unwrapped);
      const node = unwrapped ?? written;
      const inferred = inferOutputs(node, known);
      for (const [index, output] of node.output.entries()) {
        const declared = this.#declared(output);
        const shape = inferred[index]?.shape;
        if (contradicts(declared.shape, shape)) agrees = false;
        const isConstant = isStandard(node, 'Constant');
        this.#types.set(output, {
          elementType: declared.elementType ?? inferred[index]?.elementType,
          shape: believes || isConstant ? (declared.shape ?? shape) : shape,
        });
      }
    }
    return agrees;
  }

  get nodes(): readonly NodeProto[] {
    return this.scope.nodes;
  }

  producer(value: string): NodeProto | undefined {
    const node = this.scope.producer(value);
    return node && (this.#unwrappedNode(node) ?? node);
  }

  readers(value: string): readonly NodeProto[] {
    return this.scope.readers(value);
  }

  isOutput(value: string): boolean {
    return this.scope.uses(value).some(({ kind }) => kind === 'output');
  }

  constant(value: string): TensorProto | undefined {
    const { scope } = this;
    if (scope.kind === 'subgraph' && !scope.defines(value)) return this.parent?.constant(value);
    return scope.constant(value) ?? this.#passed(value, (caller, argument) => caller.constant(argument));
  }

  smallConstant(value: string): readonly number[] | undefined {
    const tensor = this.constant(value);
    return tensor === undefined ? undefined : this.numbers(tensor);
  }

  elementType(value: string): number | undefined {
    return this.#type(value).elementType;
  }

  shape(value: string): Shape | undefined {
    return this.#type(value).shape;
  }

  integers(value: string): readonly number[] | undefined {
    return this.#integers(value, 0);
  }

  #unwrappedNode(node: NodeProto): NodeProto | undefined {
    const outer = this.parent;
    return this.#unwrapped.get(node) ?? (outer === undefined ? undefined : outer.#unwrappedNode(node));
  }

  #type(value: string): ValueType {
    if (!this.scope.defines(value) && this.parent !== undefined) return this.parent.#type(value);
    const known = this.#types.get(value) ?? this.#declared(value);
    if (this.scope.kind !== 'function' || known.elementType !== undefined) return known;
    const elementType = this.#passed(value, (caller, argument) => caller.elementType(argument));
    const shape = this.#passed(value, (caller, argument) => caller.shape(argument)?.join());
    return { elementType, shape: shape?.split(',').map((dim) => (dim === '' ? undefined : Number(dim))) };
  }

  /** What all callers of a function say of what they pass as one of its inputs; undefined where they differ. */
  #passed<T>(input: string, ask: (caller: ScopeFacts, argument: string) => T | undefined): T | undefined {
    const index = this.scope.inputs.indexOf(input);
    const answers = this.callers.map(({ caller, node }) =>
      caller === undefined ? undefined : ask(caller, node.input[index] ?? ''),
    );
    return answers.every((answer) => answer === answers[0]) ? answers[0] : undefined;
  }

  #declared(value: string): ValueType {
    const type = this.scope.tensorType(value);
    return {
      elementType: type?.elemType,
      shape: type?.dims?.map((dim) => (typeof dim === 'number' ? dim : undefined)),
    };
  }

  /** Each value is computed once, so that shape arithmetic that reads itself over and over costs what its nodes cost. */
  #integers(value: string, depth: number): readonly number[] | undefined {
    if (this.#knownIntegers.has(value)) return this.#knownIntegers.get(value);
    const integers = this.#computeIntegers(value, depth);
    const kept = integers !== undefined && integers.length <= LONGEST_SHAPE ? integers : undefined;
    this.#knownIntegers.set(value, kept);
    return kept;
  }

  #computeIntegers(value: string, depth: number): readonly number[] | undefined {
    const constant = this.smallConstant(value);
    if (constant !== undefined) return constant.every(Number.isInteger) ? constant : undefined;
    const node = this.producer(value);
    if (node === undefined || depth >= DEEPEST_SHAPE_ARITHMETIC || !isStandard(node)) return undefined;
    const input = (index: number) => this.#integers(node.input[index] ?? '', depth + 1);
    switch (node.opType) {
      case 'Identity':
      case 'Cast':
      case 'Unsqueeze':
      case 'Squeeze':
      case 'Reshape':
        return input(0);
      case 'Shape': {
        const shape = this.shape(node.input[0] ?? '');
        const whole = node.attribute.length === 0;
        return !whole || shape === undefined || shape.includes(undefined) ? undefined : (shape as number[]);
      }
      case 'Gather': {
        const data = input(0);
        const picked = input(1)?.map((at) => data?.at(at));
        return picked === undefined || picked.includes(undefined) ? undefined : (picked as number[]);
      }
      case 'Concat': {
        const parts = node.input.map((_, index) => input(index));
        return parts.includes(undefined) ? undefined : (parts as number[][]).flat();
      }
      default:
        return undefined;
    }
  }
}

/** Whether two shapes of one value cannot both be right. */
function contradicts(declared: Shape | undefined, inferred: Shape | undefined): boolean {
  if (declared === undefined || inferred === undefined) return false;
  if (declared.length !== inferred.length) return true;
  return declared.some((size, axis) => {
    const other = inferred[axis];
    return size !== undefined && other !== undefined && size !== other;
  });
}
