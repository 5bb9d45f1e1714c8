import {
  DataType,
  type FunctionProto,
  ModelView,
  makeFunction,
  makeGraph,
  makeModel,
  makeValueInfo,
  type NodeProto,
} from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { floats, ints, op, smallConstants } from '../../test/support/graph.js';
import { matchScopes } from './model-facts.js';
import { plain } from './trace.js';

function factsOf(nodes: ReturnType<typeof op>[], declared: Readonly<Record<string, readonly number[]>> = {}) {
  const graph = makeGraph('test', {
    inputs: [makeValueInfo('x', DataType.FLOAT16, [4])],
    outputs: [],
    nodes,
    initializers: [ints('first', [0]), ints('last', [-1])],
    valueInfos: Object.entries(declared).map(([name, dims]) => makeValueInfo(name, DataType.FLOAT16, dims)),
  });
  const view = new ModelView(makeModel(graph, { opsets: { '': 20 } }));
  return matchScopes(view, smallConstants).get(view.main)!;
}

it('believes declared shapes that no operator contradicts', () => {
  const facts = factsOf([op('Unsqueeze', ['x', 'last'], 'column'), op('Custom', ['column'], 'y')], { y: [7] });
  expect([facts.shape('column'), facts.shape('y')]).toEqual([[4, 1], [7]]);
});

it('believes no declared shape where one is contradicted', () => {
  const nodes = [op('Unsqueeze', ['x', 'first'], 'row'), op('Custom', ['row'], 'y')];
  const facts = factsOf(nodes, { row: [4, 1], y: [7] });
  expect([facts.shape('row'), facts.shape('y')]).toEqual([[1, 4], undefined]);
});

it('takes a value that was widened and cast back for itself', () => {
  const to = (type: number) => ({ to: { int: type } });
  const facts = factsOf([
    op('Cast', ['x'], 'wide', to(DataType.FLOAT)),
    op('Identity', ['wide'], 'same'),
    op('Cast', ['same'], 'back', to(DataType.FLOAT16)),
    op('Cast', ['same'], 'other', to(DataType.BFLOAT16)),
  ]);
  expect([plain(facts, 'back'), plain(facts, 'other')]).toEqual(['x', 'other']);
});

describe('integers', () => {
  const arithmetic = () =>
    factsOf([
      op('Shape', ['x'], 'shape'),
      op('Shape', ['x'], 'part', { start: { int: 0 } }),
      op('Shape', ['nothing'], 'unknown'),
      op('Gather', ['shape', 'first'], 'size'),
      op('Gather', ['shape', 'last'], 'lastSize'),
      op('Gather', ['nothing', 'first'], 'ofUnknown'),
      op('Gather', ['shape', 'nothing'], 'atUnknown'),
      op('Unsqueeze', ['size', 'first'], 'foreign', {}, 'lib'),
      op('Concat', ['size', 'last'], 'built', { axis: { int: 0 } }),
      op('Concat', ['size', 'nothing'], 'halfBuilt', { axis: { int: 0 } }),
      op('Constant', [], 'fraction', { value_float: { float: 1.5 } }),
      op('Concat', Array<string>(65).fill('size'), 'tooLong', { axis: { int: 0 } }),
      op('Concat', Array<string>(64).fill('size'), 'long', { axis: { int: 0 } }),
      op('Unsqueeze', ['size', 'first'], 'deep0'),
      ...Array.from({ length: 16 }, (_, step) => op('Squeeze', [`deep${step}`, 'first'], `deep${step + 1}`)),
    ]);

  it.each([
    ['shape', [4]],
    ['size', [4]],
    ['lastSize', [4]],
    ['built', [4, -1]],
    ['first', [0]],
    ['long', Array<number>(64).fill(4)],
  ])('%s', (value, expected) => {
    expect(arithmetic().integers(value)).toEqual(expected);
  });

  it.each(['part', 'unknown', 'ofUnknown', 'atUnknown', 'foreign', 'halfBuilt', 'fraction', 'tooLong', 'deep16', 'x'])(
    '%s is not known',
    (value) => {
      expect(arithmetic().integers(value)).toBeUndefined();
    },
  );
});

describe('functions', () => {
  function bodyFacts(body: FunctionProto, calls: readonly NodeProto[], more: readonly FunctionProto[] = []) {
    const graph = makeGraph('test', {
      inputs: [
        makeValueInfo('x', DataType.FLOAT, [4]),
        makeValueInfo('h', DataType.FLOAT16, [4]),
        makeValueInfo('symbolic', DataType.FLOAT, ['n', 4]),
      ],
      outputs: [],
      nodes: [...calls],
      initializers: [floats('w', [2]), floats('v', [2])],
    });
    const model = makeModel(graph, { opsets: { '': 20, lib: 1 }, functions: [body, ...more] });
    const view = new ModelView(model);
    return matchScopes(view, smallConstants).get(view.functionScope(body)!)!;
  }
  const body = makeFunction('lib', 'f', {
    inputs: ['a', 'k'],
    outputs: ['r'],
    nodes: [op('Mul', ['a', 'k'], 'r')],
    opsets: { '': 20 },
  });
  const call = (inputs: readonly string[], output: string, name = 'f') => op(name, inputs, output, {}, 'lib');

  it('knows of its inputs what its only caller passes', () => {
    const facts = bodyFacts(body, [call(['x', 'w'], 'y')]);
    expect([facts.elementType('a'), facts.shape('a')]).toEqual([DataType.FLOAT, [4]]);
    expect(facts.constant('k')).toMatchObject({ name: 'w' });
    expect(facts.smallConstant('k')).toEqual([1, 2]);
  });

  it('knows what all callers pass alike, and nothing of what they do not', () => {
    const alike = bodyFacts(body, [call(['x', 'w'], 'y'), call(['x', 'w'], 'z')]);
    expect(alike.constant('k')).toMatchObject({ name: 'w' });
    const others = bodyFacts(body, [call(['x', 'w'], 'y'), call(['h', 'v'], 'z')]);
    expect([others.constant('k'), others.elementType('a'), others.shape('a')]).toEqual([undefined, undefined, [4]]);
  });

  it('passes nothing on for what is no input of the function', () => {
    const named = makeFunction('lib', 'f', { ...partsOf(body), nodes: [op('Mul', ['a', 'w'], 'r')] });
    const facts = bodyFacts(named, [call(['x', 'w'], 'y')]);
    expect([facts.constant('w'), facts.elementType('w'), facts.constant('r')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('knows nothing of a function that calls itself', () => {
    const endless = makeFunction('lib', 'f', { ...partsOf(body), nodes: [call(['a', 'k'], 'r')] });
    const facts = bodyFacts(endless, [call(['x', 'w'], 'y')]);
    expect([facts.constant('k'), facts.elementType('a')]).toEqual([undefined, undefined]);
  });

  it('knows the rank of a shape whose sizes are not known', () => {
    const facts = bodyFacts(body, [call(['symbolic', 'w'], 'y')]);
    expect(facts.shape('a')).toEqual([undefined, 4]);
  });

  it('does not take calls of a missing function for calls of this one', () => {
    const facts = bodyFacts(body, [call(['h', 'v'], 'z', 'missing'), call(['x', 'w'], 'y')]);
    expect(facts.constant('k')).toMatchObject({ name: 'w' });
  });
});

function partsOf({ input, output }: FunctionProto) {
  return { inputs: input, outputs: output, opsets: { '': 20, lib: 1 } };
}
