import { isElementType } from './element-types.js';
import { OnnxError, type OnnxErrorCode } from './errors.js';
import { externalLocation, isExternal } from './external-data.js';
import {
  type AttributeProto,
  AttributeType,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type SparseTensorProto,
  type TensorProto,
} from './messages.js';
import { functionKey, ModelView } from './model-view.js';
import { sortedNodes } from './node-order.js';
import { canonicalDomain } from './scope.js';
import { describeTensor } from './tensor.js';
import { visitTensors, visitTypes } from './walk.js';

/**
 * Checks that a model is a sound ONNX graph: everything that reading, walking and rewriting it rely on. Operators are
 * not checked: that is a runtime's work. Takes time and memory in proportion to the model; follows no external data.
 *
 * What the format asks and runtimes do without is let pass: an import for a domain other than the standard one, the
 * types of inputs and outputs, names of inner values that differ from outer ones.
 * @throws OnnxError The first problem found, with its place.
 */
export function validateModel(model: ModelProto): void {
  new Validation(model).run();
}

/** More nodes than this after inlining all functions is not a model but an attack on whoever inlines it. */
const MAX_INLINED_NODES = 50_000_000;
const MAX_DIM_PRODUCT = BigInt(Number.MAX_SAFE_INTEGER);

/** Names that are defined so far, on the way through one body of nodes. */
interface Names {
  readonly path: string;
  readonly nodes: readonly NodeProto[];
  readonly defined: Set<string>;
  readonly outer: Names | undefined;
  /** In a function: attributes may refer to the function's. */
  readonly inFunction: boolean;
}

class Validation {
  readonly #model: ModelProto;

  constructor(model: ModelProto) {
    this.#model = model;
  }

  run(): void {
    const { graph, functions, opsetImport, irVersion } = this.#model;
    if (graph === undefined) {
      throw new OnnxError(
        'no-graph',
        'the model has no graph',
        {},
        { todo: 'this is not an ONNX model, or it is damaged' },
      );
    }
    if (irVersion === undefined || irVersion < 1n) {
      throw new OnnxError('invalid-value', `the IR version is ${irVersion ?? 'missing'}`, { path: 'irVersion' });
    }
    if (opsetImport.length === 0) {
      throw new OnnxError(
        'no-opset',
        'the model imports no operator set',
        { path: 'opsetImport' },
        {
          todo: 'without one its operators have no meaning: export the model again',
        },
      );
    }
    this.#tensors();
    this.#types();
    this.#opsets(opsetImport, 'opsetImport', graph.node);
    this.#graph(graph, { path: 'graph', nodes: graph.node, defined: new Set(), outer: undefined, inFunction: false });
    functions.forEach((proto, index) => {
      this.#function(proto, `functions[${index}]`);
    });
    this.#calls();
  }

  // --- names and nodes ---

  #graph(graph: GraphProto, names: Names): void {
    graph.input.forEach(({ name }, index) => {
      define(names, name, `input[${index}]`, 'an input');
    });
    const inputs = new Set(names.defined);
    const initializers = new Set<string>();
    const initialize = (name: string | undefined, step: string) => {
      // An initializer may be an input too: its default.
      if (name !== undefined && inputs.has(name) && !initializers.has(name)) initializers.add(name);
      else define(names, name, step, 'an initializer');
    };
    graph.initializer.forEach(({ name }, index) => {
      initialize(name, `initializer[${index}]`);
    });
    graph.sparseInitializer.forEach((tensor, index) => {
      initialize(tensor.values?.name, `sparseInitializer[${index}]`);
      checkSparse(tensor, `${names.path}.sparseInitializer[${index}]`);
    });
    this.#nodes(names);
    graph.output.forEach(({ name }, index) => {
      const path = `${names.path}.output[${index}]`;
      checkName(name, path, 'an output');
      if (!isDefined(names, name!))
        throw new OnnxError('dangling-name', `output '${name}' is computed by nothing`, { path });
    });
  }

  #function(proto: FunctionProto, path: string): void {
    checkName(proto.name, `${path}.name`, 'a function', 'invalid-function');
    this.#opsets(proto.opsetImport, `${path}.opsetImport`, proto.node);
    const names: Names = { path, nodes: proto.node, defined: new Set(), outer: undefined, inFunction: true };
    proto.input.forEach((name, index) => {
      define(names, name, `input[${index}]`, 'an input');
    });
    const attributes = [...proto.attribute, ...proto.attributeProto.map(({ name }) => name ?? '')];
    if (new Set(attributes).size !== attributes.length || attributes.includes('')) {
      throw new OnnxError(
        'invalid-function',
        `function '${proto.name}' declares an attribute twice, or without a name`,
        { path },
      );
    }
    proto.attributeProto.forEach((attribute, index) => {
      this.#attribute(attribute, `${path}.attributeProto[${index}]`, names);
    });
    this.#nodes(names);
    proto.output.forEach((name, index) => {
      if (!names.defined.has(name)) {
        const place = { path: `${path}.output[${index}]` };
        throw new OnnxError(
          'dangling-name',
          `output '${name}' of function '${proto.name}' is computed by nothing`,
          place,
        );
      }
    });
  }

  #nodes(names: Names): void {
    names.nodes.forEach((node, index) => {
      const path = () => `${names.path}.node[${index}]`;
      if (node.opType === undefined || node.opType === '' || hasNul(node.opType)) {
        throw new OnnxError('invalid-node', `node '${node.name ?? ''}' has no operator`, { path: `${path()}.opType` });
      }
      if (hasNul(node.name ?? '') || hasNul(node.domain ?? '') || hasNul(node.overload ?? '')) {
        throw new OnnxError('invalid-name', 'a NUL in the name, domain or overload of a node', { path: path() });
      }
      node.input.forEach((name, input) => {
        if (name !== '' && !isDefined(names, name))
          throw this.#undefinedName(names, node, `${path()}.input[${input}]`, name);
      });
      const seen = new Set<string>();
      node.attribute.forEach((attribute, place) => {
        const at = `${path()}.attribute[${place}]`;
        if (seen.has(attribute.name ?? '')) {
          throw new OnnxError('invalid-attribute', `a second attribute '${attribute.name}'`, { path: at });
        }
        seen.add(attribute.name ?? '');
        this.#attribute(attribute, at, names);
      });
      node.output.forEach((name, output) => {
        if (name !== '') define(names, name, `node[${index}].output[${output}]`, 'an output');
      });
    });
  }

  #attribute(attribute: AttributeProto, path: string, names: Names): void {
    checkName(attribute.name, `${path}.name`, 'an attribute', 'invalid-attribute');
    checkAttribute(attribute, path, names.inFunction);
    const { inFunction } = names;
    const enter = (graph: GraphProto, step: string) =>
      this.#graph(graph, { path: `${path}.${step}`, nodes: graph.node, defined: new Set(), outer: names, inFunction });
    if (attribute.g !== undefined) enter(attribute.g, 'g');
    attribute.graphs.forEach((graph, index) => {
      enter(graph, `graphs[${index}]`);
    });
    if (attribute.sparseTensor !== undefined) checkSparse(attribute.sparseTensor, `${path}.sparseTensor`);
    attribute.sparseTensors.forEach((tensor, index) => {
      checkSparse(tensor, `${path}.sparseTensors[${index}]`);
    });
  }

  /** A name that is read before it is defined: never, later, or in a circle. */
  #undefinedName(names: Names, node: NodeProto, path: string, name: string): OnnxError {
    for (let level: Names | undefined = names; level !== undefined; level = level.outer) {
      const { nodes } = level;
      if (!nodes.some((each) => each.output.includes(name))) continue;
      for (const scope of new ModelView(this.#model).scopes()) {
        if (scope.nodes !== nodes) continue;
        try {
          sortedNodes(scope);
        } catch (error) {
          throw error instanceof OnnxError ? error.at({ path }) : error;
        }
      }
      const what = `node '${node.name || node.opType}' reads '${name}', which only a later node computes`;
      return new OnnxError(
        'not-sorted',
        what,
        { path },
        { todo: 'ONNX wants nodes in the order of their computation' },
      );
    }
    const where = names.outer === undefined ? '' : ', here or in the graphs around';
    return new OnnxError('dangling-name', `'${name}' is read, but nothing defines it${where}`, { path });
  }

  // --- operator sets and calls ---

  #opsets(imports: ModelProto['opsetImport'], path: string, nodes: readonly NodeProto[]): void {
    imports.forEach(({ version, domain }, index) => {
      if (version === undefined || version < 1n || version > 2n ** 31n) {
        const what = `operator set '${domain ?? ''}' is imported at version ${version ?? '(none)'}`;
        throw new OnnxError('no-opset', what, { path: `${path}[${index}]` });
      }
    });
    if (imports.some(({ domain }) => canonicalDomain(domain) === '')) return;
    const standard = allNodes(nodes).find((node) => canonicalDomain(node.domain) === '');
    if (standard === undefined) return;
    throw new OnnxError(
      'no-opset',
      `'${standard.opType}' is a standard operator, but no standard operator set is imported`,
      { path },
    );
  }

  /** Functions must not call themselves, nor grow beyond all bounds when inlined. */
  #calls(): void {
    const { functions, graph } = this.#model;
    const byKey = new Map<string, number>();
    functions.forEach((proto, index) => {
      const key = functionKey(proto.domain, proto.name, proto.overload);
      if (byKey.has(key)) {
        const what = `a second function ${proto.domain ?? ''}.${proto.name} of overload '${proto.overload ?? ''}'`;
        throw new OnnxError('duplicate-name', what, { path: `functions[${index}]` });
      }
      byKey.set(key, index);
    });
    if (functions.length === 0) return;
    const called = (nodes: readonly NodeProto[]) =>
      allNodes(nodes).map((node) => byKey.get(functionKey(node.domain, node.opType, node.overload)));
    /** Nodes after inlining, by function; NaN while its callees are being counted. */
    const sizes = new Array<number | undefined>(functions.length);
    const calls = functions.map((proto) => called(proto.node));
    const sizeOf = (callees: readonly (number | undefined)[]) =>
      callees.reduce<number>((sum, callee) => sum + (callee === undefined ? 1 : sizes[callee]!), 0);
    for (let root = 0; root < functions.length; root++) {
      const stack = [root];
      while (stack.length > 0) {
        const current = stack[stack.length - 1]!;
        const open = sizes[current] === undefined;
        sizes[current] ??= Number.NaN;
        const pending = open ? calls[current]!.filter((callee) => callee !== undefined && !(sizes[callee]! >= 0)) : [];
        const circular = pending.find((callee) => sizes[callee!] !== undefined);
        if (circular !== undefined) {
          throw new OnnxError('cycle', `function '${functions[circular]!.name}' calls itself`, {
            path: `functions[${circular}]`,
          });
        }
        if (pending.length > 0) for (const callee of new Set(pending as number[])) stack.push(callee);
        else {
          if (Number.isNaN(sizes[current])) sizes[current] = sizeOf(calls[current]!);
          stack.pop();
        }
      }
    }
    const total = sizeOf(called(graph!.node));
    if (total > MAX_INLINED_NODES) {
      throw new OnnxError('limit', `inlining the model's functions would give ${total} nodes`, { path: 'functions' });
    }
  }

  // --- tensors and types ---

  #tensors(): void {
    visitTensors(this.#model, (tensor, path) => {
      try {
        checkTensor(tensor);
      } catch (error) {
        throw error instanceof OnnxError ? error.at({ path: path() }) : error;
      }
    });
  }

  #types(): void {
    visitTypes(this.#model, (type, path) => {
      const shape = type.tensorType?.shape ?? type.sparseTensorType?.shape;
      let product = 1n;
      shape?.dim.forEach(({ dimValue, dimParam }, index) => {
        const at = () => ({ path: `${path()}.shape.dim[${index}]` });
        if (hasNul(dimParam ?? '')) throw new OnnxError('invalid-name', 'a NUL in the name of a dimension', at());
        if (dimValue === undefined) return;
        product *= dimValue;
        if (dimValue < 0n) throw new OnnxError('invalid-type', `a dimension of ${dimValue}`, at());
        if (product > MAX_DIM_PRODUCT) throw new OnnxError('invalid-type', 'a shape too large to be real', at());
      });
    });
  }
}

/** All nodes, those of subgraphs included. */
function allNodes(nodes: readonly NodeProto[]): NodeProto[] {
  const found: NodeProto[] = [];
  const pending = [nodes];
  for (let list = pending.pop(); list !== undefined; list = pending.pop()) {
    for (const node of list) {
      found.push(node);
      for (const { g, graphs } of node.attribute) {
        if (g !== undefined) pending.push(g.node);
        for (const graph of graphs) pending.push(graph.node);
      }
    }
  }
  return found;
}

function define(names: Names, name: string | undefined, step: string, what: string): void {
  checkName(name, `${names.path}.${step}`, what);
  if (names.defined.has(name!)) {
    throw new OnnxError(
      'duplicate-name',
      `'${name}' is defined a second time`,
      { path: `${names.path}.${step}` },
      {
        todo: 'every value of a graph has one definition',
      },
    );
  }
  names.defined.add(name!);
}

function isDefined(names: Names, name: string): boolean {
  let scope: Names | undefined = names;
  while (scope !== undefined && !scope.defined.has(name)) scope = scope.outer;
  return scope !== undefined;
}

function checkName(name: string | undefined, path: string, what: string, code: OnnxErrorCode = 'invalid-name'): void {
  if (name === undefined || name === '') throw new OnnxError(code, `${what} without a name`, { path });
  if (hasNul(name)) throw new OnnxError(code, `a NUL in the name of ${what}`, { path });
}

function hasNul(text: string): boolean {
  return text.includes('\0');
}

/** The field that holds the value of each kind; those of one value may be absent, since proto3 writers drop zeros. */
const VALUE_FIELD: Readonly<Record<number, keyof AttributeProto>> = {
  [AttributeType.FLOAT]: 'f',
  [AttributeType.INT]: 'i',
  [AttributeType.STRING]: 's',
  [AttributeType.TENSOR]: 't',
  [AttributeType.GRAPH]: 'g',
  [AttributeType.SPARSE_TENSOR]: 'sparseTensor',
  [AttributeType.TYPE_PROTO]: 'tp',
  [AttributeType.FLOATS]: 'floats',
  [AttributeType.INTS]: 'ints',
  [AttributeType.STRINGS]: 'strings',
  [AttributeType.TENSORS]: 'tensors',
  [AttributeType.GRAPHS]: 'graphs',
  [AttributeType.SPARSE_TENSORS]: 'sparseTensors',
  [AttributeType.TYPE_PROTOS]: 'typeProtos',
};
const MESSAGE_FIELDS: readonly (keyof AttributeProto)[] = ['t', 'g', 'sparseTensor', 'tp'];

function checkAttribute(attribute: AttributeProto, path: string, inFunction: boolean): void {
  const fail = (what: string) => new OnnxError('invalid-attribute', `attribute '${attribute.name}' ${what}`, { path });
  if (!attribute.type) throw fail('does not say of what type it is');
  const holder = VALUE_FIELD[attribute.type];
  const refers = attribute.refAttrName !== undefined && attribute.refAttrName !== '';
  if (refers && !inFunction) throw fail('refers to an attribute of a function, outside any function');
  for (const field of Object.values(VALUE_FIELD)) {
    const value = attribute[field];
    const held = Array.isArray(value) ? value.length > 0 : value !== undefined;
    if (held && (field !== holder || refers)) throw fail(`has a value in '${field}', which its type does not name`);
  }
  if (!refers && holder !== undefined && MESSAGE_FIELDS.includes(holder) && attribute[holder] === undefined) {
    throw fail('has no value');
  }
}

function checkTensor(tensor: TensorProto): void {
  if (hasNul(tensor.name ?? '')) throw new OnnxError('invalid-name', 'a NUL in the name of a tensor');
  if (isExternal(tensor)) externalLocation(tensor);
  else if (isElementType(tensor.dataType) || !tensor.dataType) describeTensor(tensor);
  else if (tensor.dims.some((dim) => dim < 0n)) {
    // A type newer than this package: its elements cannot be counted in bytes.
    throw new OnnxError('invalid-tensor', `tensor '${tensor.name ?? ''}' has a negative dim`);
  }
}

function checkSparse(tensor: SparseTensorProto, path: string): void {
  const fail = (what: string) => new OnnxError('invalid-tensor', `a sparse tensor ${what}`, { path });
  const { values, indices, dims } = tensor;
  if (values === undefined || values.dims.length !== 1) throw fail('has no list of values');
  const count = values.dims[0]!;
  if (indices === undefined) throw fail('has no indices');
  if (dims.some((dim) => dim < 0n)) throw fail('has a negative dim');
  if (dims.reduce((product, dim) => product * dim, 1n) > MAX_DIM_PRODUCT) throw fail('is too large to be real');
  const fits =
    indices.dims[0] === count &&
    (indices.dims.length === 1 || (indices.dims.length === 2 && indices.dims[1] === BigInt(dims.length)));
  if (!fits) throw fail(`has indices of [${indices.dims}] for ${count} values in ${dims.length} dims`);
}
