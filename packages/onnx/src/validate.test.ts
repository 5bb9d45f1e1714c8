import { describe, expect, test } from 'vitest';
import {
  AttributeType,
  DataType,
  type GraphProto,
  type ModelProto,
  makeAttribute,
  makeFunction,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeTensorType,
  makeValueInfo,
  OnnxError,
  setExternalLocation,
  validateModel,
} from './index.js';

const float = (name: string) => makeValueInfo(name, DataType.FLOAT, ['n']);
const weight = (name: string) => makeTensor(name, DataType.FLOAT, [2], Float32Array.of(1, 2));

function sound(): ModelProto & { graph: GraphProto } {
  const branch = (output: string) =>
    makeGraph(output, { nodes: [makeNode('Add', ['h', 'w'], [output])], outputs: [float(output)] });
  const graph = makeGraph('main', {
    inputs: [float('x'), makeValueInfo('c', DataType.BOOL, [])],
    initializers: [weight('w')],
    nodes: [
      makeNode('Twice', ['x'], ['h'], { domain: 'local' }),
      makeNode('If', ['c'], ['y'], {
        attributes: { then_branch: { graph: branch('t') }, else_branch: { graph: branch('e') } },
      }),
    ],
    outputs: [float('y')],
  });
  const twice = makeFunction('local', 'Twice', {
    inputs: ['a'],
    outputs: ['b'],
    nodes: [makeNode('Add', ['a', 'a'], ['b'])],
    opsets: { '': 17 },
  });
  return makeModel(graph, { opsets: { '': 17, local: 1 }, functions: [twice] }) as ModelProto & { graph: GraphProto };
}

const thenBranch = (model: ModelProto) => model.graph!.node[1]!.attribute[0]!.g!;

test('a sound model passes', () => {
  expect(() => validateModel(sound())).not.toThrow();
});

/** What is done to the sound model, the code expected, and the place. */
const hostile: Record<string, [(model: ModelProto & { graph: GraphProto }) => void, string, string?]> = {
  'no graph': [(model) => Object.assign(model, { graph: undefined }), 'no-graph'],
  'no IR version': [(model) => Object.assign(model, { irVersion: undefined }), 'invalid-value', 'irVersion'],
  'no operator set': [(model) => model.opsetImport.splice(0), 'no-opset'],
  'no standard operator set': [(model) => model.opsetImport.splice(0, 1), 'no-opset'],
  'an operator set without a version': [
    (model) => (model.opsetImport[0]!.version = undefined),
    'no-opset',
    'opsetImport[0]',
  ],
  'a node that reads its own output': [
    (model) => model.graph.node.push(makeNode('Add', ['x', 'z'], ['z'])),
    'cycle',
    'graph.node[2].input[1]',
  ],
  'nodes in a circle': [
    (model) => model.graph.node.push(makeNode('Neg', ['p'], ['q']), makeNode('Neg', ['q'], ['p'])),
    'cycle',
  ],
  'nodes in a circle through a subgraph': [
    (model) => {
      thenBranch(model).node[0]!.input[1] = 'z';
      model.graph.node.push(makeNode('Neg', ['y'], ['z']));
    },
    'cycle',
    'graph.node[1].attribute[0].g.node[0].input[1]',
  ],
  'nodes out of order': [(model) => model.graph.node.reverse(), 'not-sorted'],
  'a chain out of order': [
    (model) => model.graph.node.push(makeNode('Neg', ['p'], ['q']), makeNode('Neg', ['x'], ['p'])),
    'not-sorted',
  ],
  'a name from nowhere': [
    (model) => (model.graph.node[0]!.input[0] = 'nowhere'),
    'dangling-name',
    'graph.node[0].input[0]',
  ],
  'a name from nowhere in a subgraph': [
    (model) => (thenBranch(model).node[0]!.input[0] = 'nowhere'),
    'dangling-name',
    'graph.node[1].attribute[0].g.node[0].input[0]',
  ],
  'a subgraph value read outside': [(model) => model.graph.node.push(makeNode('Neg', ['t'], ['z'])), 'dangling-name'],
  'an outer value read in a function': [
    (model) => (model.functions[0]!.node[0]!.input[0] = 'x'),
    'dangling-name',
    'functions[0].node[0].input[0]',
  ],
  'an output from nowhere': [(model) => (model.graph.output[0]!.name = 'nowhere'), 'dangling-name', 'graph.output[0]'],
  'a function output from nowhere': [(model) => (model.functions[0]!.output[0] = 'nowhere'), 'dangling-name'],
  'two outputs of one name': [
    (model) => model.graph.node.push(makeNode('Neg', ['x'], ['h'])),
    'duplicate-name',
    'graph.node[2].output[0]',
  ],
  'an output named as an input': [(model) => (model.graph.node[1]!.output[0] = 'x'), 'duplicate-name'],
  'two inputs of one name': [(model) => model.graph.input.push(float('x')), 'duplicate-name'],
  'two initializers of one name': [
    (model) => model.graph.initializer.push(weight('w')),
    'duplicate-name',
    'graph.initializer[1]',
  ],
  'an initializer without a name': [(model) => (model.graph.initializer[0]!.name = undefined), 'invalid-name'],
  'a name with NUL': [(model) => (model.graph.node[0]!.output[0] = 'h\0'), 'invalid-name'],
  'a node name with NUL': [(model) => (model.graph.node[0]!.name = '\0'), 'invalid-name'],
  'a node without operator': [(model) => (model.graph.node[0]!.opType = ''), 'invalid-node', 'graph.node[0].opType'],
  'an attribute without a type': [
    (model) => (model.graph.node[1]!.attribute[0]!.type = undefined),
    'invalid-attribute',
    'graph.node[1].attribute[0]',
  ],
  'an attribute with a value of another type': [
    (model) => (model.graph.node[1]!.attribute[0]!.i = 1n),
    'invalid-attribute',
  ],
  'an attribute without its value': [
    (model) => (model.graph.node[1]!.attribute[0]!.g = undefined),
    'invalid-attribute',
  ],
  'an attribute twice': [(model) => (model.graph.node[1]!.attribute[1]!.name = 'then_branch'), 'invalid-attribute'],
  'a reference to a function attribute outside functions': [
    (model) => model.graph.node[0]!.attribute.push(makeAttribute('k', { reference: 'k', of: AttributeType.INT })),
    'invalid-attribute',
  ],
  'a negative dim': [(model) => (model.graph.initializer[0]!.dims = [-2n]), 'invalid-tensor', 'graph.initializer[0]'],
  'a dim of 2⁶²': [(model) => (model.graph.initializer[0]!.dims = [2n ** 62n]), 'invalid-tensor'],
  'dims whose product overflows': [
    (model) => (model.graph.initializer[0]!.dims = [2n ** 32n, 2n ** 32n, 2n]),
    'invalid-tensor',
  ],
  'raw data too short': [(model) => (model.graph.initializer[0]!.rawData = new Uint8Array(7)), 'invalid-tensor'],
  'raw data too long': [(model) => (model.graph.initializer[0]!.rawData = new Uint8Array(9)), 'invalid-tensor'],
  'no data': [(model) => (model.graph.initializer[0]!.rawData = undefined), 'invalid-tensor'],
  'a tensor without a type': [(model) => (model.graph.initializer[0]!.dataType = 0), 'invalid-tensor'],
  'a negative dimension of a value': [
    (model) => (model.graph.input[0]!.type = makeTensorType(1, [-1])),
    'invalid-type',
    'graph.input[0].type.shape.dim[0]',
  ],
  'a value too large': [
    (model) => (model.graph.input[0]!.type = makeTensorType(1, [2 ** 40, 2 ** 40])),
    'invalid-type',
  ],
  'external strings': [
    (model) => {
      model.graph.initializer[0]!.dataType = DataType.STRING;
      setExternalLocation(model.graph.initializer[0]!, { location: 'a', offset: 0, length: 8 });
    },
    'invalid-tensor',
  ],
  'a function that calls itself': [
    (model) => model.functions[0]!.node.push(makeNode('Twice', ['b'], ['c'], { domain: 'local' })),
    'cycle',
    'functions[0]',
  ],
  'a function twice': [(model) => model.functions.push(model.functions[0]!), 'duplicate-name', 'functions[1]'],
  'functions that double a hundred times': [
    (model) => {
      for (let level = 0; level < 100; level++) {
        const opType = level === 0 ? 'Twice' : `f${level - 1}`;
        const node = (input: string, output: string) => makeNode(opType, [input], [output], { domain: 'local' });
        const nodes = [node('a', 'm'), node('m', 'b')];
        model.functions.push(
          makeFunction('local', `f${level}`, { inputs: ['a'], outputs: ['b'], nodes, opsets: { '': 17 } }),
        );
      }
      model.graph.node[0]!.opType = 'f99';
    },
    'limit',
  ],
  'a sparse tensor whose indices do not fit': [
    (model) =>
      model.graph.sparseInitializer.push({
        values: weight('s'),
        indices: makeTensor('i', DataType.INT64, [3], BigInt64Array.of(0n, 1n, 2n)),
        dims: [9n],
      }),
    'invalid-tensor',
  ],
};

describe('refused', () => {
  for (const [name, [damage, code, path]] of Object.entries(hostile)) {
    test(name, () => {
      const model = sound();
      damage(model);
      let thrown: unknown;
      try {
        validateModel(model);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(OnnxError);
      expect(thrown).toMatchObject({ code, ...(path === undefined ? {} : { where: { path } }) });
    });
  }
});

describe('let pass', () => {
  const harmless: Record<string, (model: ModelProto & { graph: GraphProto }) => void> = {
    'an initializer that is an input': (model) => model.graph.input.push(float('w')),
    'a subgraph value named as an outer one': (model) => {
      thenBranch(model).node[0]!.output[0] = 'h2';
      thenBranch(model).output[0]!.name = 'h2';
      model.graph.node.push(makeNode('Neg', ['x'], ['h2']));
    },
    'a zero that a proto3 writer dropped': (model) =>
      model.graph.node[0]!.attribute.push({ ...makeAttribute('axis', { int: 0 }), i: undefined }),
    'an element type of the future': (model) => (model.graph.initializer[0]!.dataType = 999),
    'an empty tensor of huge dims': (model) =>
      Object.assign(model.graph.initializer[0]!, { dims: [0n, 2n ** 40n, 2n ** 40n], rawData: new Uint8Array(0) }),
    'a domain that only the runtime knows': (model) =>
      model.graph.node.push(makeNode('FusedMatMul', ['x', 'w'], ['z'], { domain: 'com.microsoft' })),
  };
  for (const [name, change] of Object.entries(harmless)) {
    test(name, () => {
      const model = sound();
      change(model);
      expect(() => validateModel(model)).not.toThrow();
    });
  }
});

test('long chains of functions and nodes do not exhaust the stack', () => {
  const model = sound();
  for (let level = 0; level < 20_000; level++) {
    const nodes = [makeNode(level === 0 ? 'Twice' : `f${level - 1}`, ['a'], ['b'], { domain: 'local' })];
    model.functions.push(
      makeFunction('local', `f${level}`, { inputs: ['a'], outputs: ['b'], nodes, opsets: { '': 17 } }),
    );
  }
  for (let index = 0; index < 50_000; index++)
    model.graph.node.push(makeNode('Neg', [index === 0 ? 'x' : `v${index - 1}`], [`v${index}`]));
  validateModel(model);
  model.graph.node.splice(2, 50_000, ...model.graph.node.slice(2).reverse());
  expect(() => validateModel(model)).toThrow(expect.objectContaining({ code: 'not-sorted' }));
});
