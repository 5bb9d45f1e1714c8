import { expect, test } from 'vitest';
import {
  AttributeType,
  DataType,
  decodeModel,
  encodeModel,
  findAttribute,
  floatAttribute,
  getMetadata,
  intAttribute,
  intsAttribute,
  makeAttribute,
  makeFunction,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeTensorType,
  makeValueInfo,
  setMetadata,
  stringAttribute,
  tensorAttribute,
  validateModel,
} from './index.js';

test('every kind of attribute is written, read back and valid', () => {
  const tensor = makeTensor('t', DataType.FLOAT, [], Float32Array.of(1));
  const graph = makeGraph('inner', {
    nodes: [makeNode('Constant', [], ['k'], { attributes: { value: { tensor } } })],
    outputs: [makeValueInfo('k')],
  });
  const indices = makeTensor('i', DataType.INT64, [1], BigInt64Array.of(0n));
  const sparseTensor = { values: makeTensor('v', DataType.FLOAT, [1], Float32Array.of(1)), indices, dims: [4n] };
  const type = makeTensorType(DataType.FLOAT, ['batch', 3, undefined]);
  const node = makeNode('Test', ['x'], ['y'], {
    domain: 'test',
    attributes: {
      float: { float: 0.5 },
      int: { int: -3 },
      string: { string: 'größe' },
      tensor: { tensor },
      graph: { graph },
      sparse: { sparseTensor },
      type: { type },
      floats: { floats: [1, 2] },
      ints: { ints: [1, 2n] },
      strings: { strings: ['a', Uint8Array.of(98)] },
      tensors: { tensors: [tensor] },
      graphs: { graphs: [graph] },
      sparses: { sparseTensors: [sparseTensor] },
      types: { types: [type, type] },
    },
  });
  const info = (name: string) => makeValueInfo(name, DataType.FLOAT, [1]);
  const model = makeModel(makeGraph('g', { inputs: [info('x')], nodes: [node], outputs: [info('y')] }), {
    opsets: { '': 21, test: 1 },
  });
  validateModel(model);
  const read = decodeModel(encodeModel(model)).graph!.node[0]!;
  expect(read.attribute.map(({ type: kind }) => kind).sort((a, b) => a! - b!)).toEqual(
    Object.values(AttributeType).filter((kind) => kind !== AttributeType.UNDEFINED),
  );
  expect(read).toEqual(node);
  expect(floatAttribute(read, 'float')).toBe(0.5);
  expect(intAttribute(read, 'int')).toBe(-3);
  expect(stringAttribute(read, 'string')).toBe('größe');
  expect(intsAttribute(read, 'ints')).toEqual([1, 2]);
  expect(tensorAttribute(read, 'tensor')).toEqual(tensor);
});

test('an attribute that is missing, of another kind, or a reference', () => {
  const node = makeNode('Test', [], [], {
    attributes: { a: { int: 1 }, b: { reference: 'c', of: AttributeType.INT } },
  });
  expect(intAttribute(node, 'none')).toBeUndefined();
  expect(intAttribute(node, 'none', 7)).toBe(7);
  expect(floatAttribute(node, 'a', 7)).toBeUndefined();
  expect(intAttribute(node, 'b', 7)).toBeUndefined();
  expect(findAttribute(node, 'b')).toEqual(makeAttribute('b', { reference: 'c', of: AttributeType.INT }));
  expect(intAttribute({ ...node, attribute: [{ ...makeAttribute('zero', { int: 0 }), i: undefined }] }, 'zero')).toBe(
    0,
  );
});

test('functions with attributes, defaults and overloads', () => {
  const made = makeFunction('local', 'Scale', {
    overload: 'float',
    inputs: ['x'],
    outputs: ['y'],
    attributes: ['factor'],
    defaults: { offset: { float: 0 } },
    nodes: [
      makeNode('Constant', [], ['f'], {
        attributes: { value_float: { reference: 'factor', of: AttributeType.FLOAT } },
      }),
      makeNode('Mul', ['x', 'f'], ['y']),
    ],
    opsets: { '': 17 },
  });
  const info = (name: string) => makeValueInfo(name, DataType.FLOAT, []);
  const call = makeNode('Scale', ['x'], ['y'], {
    domain: 'local',
    overload: 'float',
    attributes: { factor: { float: 2 } },
  });
  const model = makeModel(makeGraph('g', { inputs: [info('x')], nodes: [call], outputs: [info('y')] }), {
    opsets: { '': 17, local: 1 },
    functions: [made],
  });
  validateModel(model);
  expect(decodeModel(encodeModel(model))).toEqual(model);
});

test('metadata is set in its place, added and removed', () => {
  const node = makeNode('Test', [], [], { metadata: { a: '1', b: '2' } });
  setMetadata(node, 'a', '3');
  setMetadata(node, 'c', '4');
  setMetadata(node, 'b', undefined);
  expect(node.metadataProps).toEqual([
    { key: 'a', value: '3' },
    { key: 'c', value: '4' },
  ]);
  expect(getMetadata(node, 'c')).toBe('4');
  expect(getMetadata(node, 'b')).toBeUndefined();
});
