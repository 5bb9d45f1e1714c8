import { describe, expect, test } from 'vitest';
import {
  DataType,
  ModelView,
  makeFunction,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  OnnxError,
  removeDeadNodes,
} from './index.js';

const float = (name: string) => makeValueInfo(name, DataType.FLOAT, ['n', 4]);
const scalar = (name: string) => makeTensor(name, DataType.FLOAT, [], Float32Array.of(1));

/** y = If(c) { w + x } else { Loop body: x shadows }; the Loop's body has an input named as the outer value `x`. */
function nested() {
  const thenBranch = makeGraph('then', {
    nodes: [makeNode('Add', ['h', 'w'], ['t'])],
    outputs: [float('t')],
  });
  const body = makeGraph('body', {
    inputs: [makeValueInfo('i', DataType.INT64, []), makeValueInfo('cond', DataType.BOOL, []), float('h')],
    nodes: [makeNode('Identity', ['cond'], ['cond_out']), makeNode('Mul', ['h', 'w'], ['next'])],
    outputs: [makeValueInfo('cond_out', DataType.BOOL, []), float('next')],
  });
  const elseBranch = makeGraph('else', {
    nodes: [makeNode('Loop', ['trips', '', 'h'], ['e'], { name: 'loop', attributes: { body: { graph: body } } })],
    outputs: [float('e')],
  });
  const graph = makeGraph('main', {
    inputs: [float('x'), makeValueInfo('c', DataType.BOOL, [])],
    initializers: [scalar('w'), makeTensor('trips', DataType.INT64, [], BigInt64Array.of(3n))],
    nodes: [
      makeNode('Relu', ['x'], ['h'], { name: 'relu' }),
      makeNode('If', ['c'], ['y'], {
        name: 'if',
        attributes: { then_branch: { graph: thenBranch }, else_branch: { graph: elseBranch } },
      }),
    ],
    outputs: [float('y')],
  });
  const view = new ModelView(makeModel(graph, { opsets: { '': 17 } }));
  const [relu, choice] = graph.node as [(typeof graph.node)[0], (typeof graph.node)[0]];
  const [thenScope, elseScope] = view.main.subgraphs(choice);
  const bodyScope = elseScope!.subgraphs(elseScope!.nodes[0]!)[0]!;
  return { view, main: view.main, relu, choice, thenScope: thenScope!, elseScope: elseScope!, bodyScope };
}

describe('names across scopes', () => {
  test('a subgraph sees the values around it', () => {
    const { thenScope, relu, main } = nested();
    expect(thenScope.producer('h')).toBe(relu);
    expect(thenScope.initializer('w')).toMatchObject({ scope: main, overridable: false });
    expect(main.definition('t')).toBeUndefined();
  });

  test('a scope has a path for people', () => {
    const { view, main, thenScope, bodyScope } = nested();
    expect([main, thenScope, bodyScope].map(({ path }) => path)).toEqual([
      '',
      'if.then_branch',
      'if.else_branch/loop.body',
    ]);
    const inner = makeNode('If', ['c'], ['b'], {
      attributes: { then_branch: { graph: makeGraph('g', { nodes: [], outputs: [] }) } },
    });
    const scope = view.addFunction(
      makeFunction('local', 'F', { inputs: ['c'], outputs: ['b'], nodes: [inner], opsets: { '': 17 } }),
    );
    expect([scope, scope.subgraphs(inner)[0]!].map(({ path }) => path)).toEqual([
      'local::F',
      'local::F/If.then_branch',
    ]);
  });

  test('a loop body input shadows the outer value of the same name', () => {
    const { bodyScope, main, thenScope, elseScope } = nested();
    expect(bodyScope.definition('h')).toMatchObject({ kind: 'input' });
    expect(main.uses('h').map((use) => use.scope)).toEqual([thenScope, elseScope]);
    expect(bodyScope.uses('h')).toMatchObject([{ node: { opType: 'Mul' }, index: 0 }]);
    expect(main.readers('w').map((node) => node.opType)).toEqual(['Add', 'Mul']);
  });

  test('types, shapes and constants', () => {
    const { main, thenScope, view } = nested();
    expect(main.tensorType('x')).toEqual({ elemType: DataType.FLOAT, dims: ['n', 4] });
    expect(thenScope.tensorType('w')).toEqual({ elemType: DataType.FLOAT, dims: [] });
    expect(main.tensorType('h')).toBeUndefined();
    expect(thenScope.constant('w')).toBe(view.model.graph!.initializer[0]);
    main.insertBefore(
      main.nodes[0]!,
      makeNode('Constant', [], ['k'], { attributes: { value_ints: { ints: [2, 3] } } }),
    );
    expect(main.constant('k')?.dims).toEqual([2n]);
    expect(thenScope.opset()).toBe(17);
    expect(thenScope.opset('com.microsoft')).toBeUndefined();
  });

  test('an initializer that is also an input can be overridden, from IR version 4 on', () => {
    const graph = makeGraph('g', {
      inputs: [float('w')],
      initializers: [scalar('w')],
      nodes: [makeNode('Relu', ['w'], ['y'])],
      outputs: [float('y')],
    });
    for (const [irVersion, overridable] of [
      [3, false],
      [4, true],
    ] as const) {
      const { main } = new ModelView(makeModel(graph, { opsets: { '': 9 }, irVersion }));
      expect(main.initializer('w')?.overridable).toBe(overridable);
      expect(main.constant('w') === undefined).toBe(overridable);
      expect(main.isInput('w')).toBe(true);
    }
  });
});

describe('edits keep the index', () => {
  test('replacing uses goes into subgraphs but not past a shadowing name', () => {
    const { main, relu, thenScope, bodyScope } = nested();
    main.insertAfter(relu, makeNode('Neg', ['h'], ['n']));
    const [neg] = main.readers('h');
    const left = main.replaceUses('h', 'n');
    expect(left).toEqual([]);
    main.setInput(neg!, 0, 'h');
    expect(thenScope.nodes[0]!.input).toEqual(['n', 'w']);
    expect(bodyScope.nodes[1]!.input).toEqual(['h', 'w']);
    expect(main.readers('h')).toEqual([neg]);
    expect(main.readers('n').map((node) => node.opType)).toEqual(['Add', 'Loop']);
  });

  test('an output of the main graph keeps its name and is reported', () => {
    const { main, choice } = nested();
    main.insertAfter(choice, makeNode('Neg', ['h'], ['z']));
    expect(main.replaceUses('y', 'z')).toMatchObject([{ kind: 'output', index: 0 }]);
    expect(main.outputs).toEqual(['y']);
  });

  test('an output of a subgraph follows', () => {
    const { thenScope } = nested();
    thenScope.append(makeNode('Neg', ['t'], ['u']));
    expect(thenScope.replaceUses('t', 'u')).toEqual([]);
    expect(thenScope.outputs).toEqual(['u']);
  });

  test('removing a node with subgraphs releases what they read', () => {
    const { main, choice, relu, view, thenScope } = nested();
    expect(main.isUsed('w')).toBe(true);
    main.removeNode(choice);
    expect(main.isUsed('w')).toBe(false);
    expect(main.isUsed('h')).toBe(false);
    expect(view.scopeOf(thenScope.nodes[0]!)).toBeUndefined();
    expect(main.nodes).toEqual([relu]);
  });

  test('a name that becomes defined nearer is no longer taken from outside', () => {
    const { main, thenScope } = nested();
    thenScope.removeNode(thenScope.nodes[0]!);
    thenScope.append(makeNode('Relu', ['late'], ['t']));
    main.append(makeNode('Neg', ['x'], ['late']));
    expect(main.readers('late').map((node) => node.opType)).toEqual(['Relu']);
    expect(() => thenScope.append(makeNode('Neg', ['x'], ['late']))).toThrow(OnnxError);
  });

  test('a node replaced keeps its place and the readers of its output', () => {
    const { main, relu, choice, thenScope } = nested();
    main.replaceNode(relu, makeNode('Neg', ['x'], ['n']), makeNode('Abs', ['n'], ['h']));
    expect(main.nodes.map((node) => node.opType)).toEqual(['Neg', 'Abs', 'If']);
    expect(thenScope.producer('h')?.opType).toBe('Abs');
    expect(main.position(choice)).toBe(2);
    expect(() => main.replaceNode(relu)).toThrow(/not in this scope/);
  });

  test('names given are fresh everywhere, and the same every time', () => {
    const { view } = nested();
    expect(['next', 'next', 'g', 'relu', ''].map((hint) => view.freshName(hint))).toEqual([
      'next_1',
      'next_2',
      'g',
      'relu_1',
      '_1',
    ]);
  });

  test('functions are scopes of their own', () => {
    const { view } = nested();
    const proto = makeFunction('local', 'Twice', {
      inputs: ['x'],
      outputs: ['y'],
      nodes: [makeNode('Add', ['x', 'x'], ['y'])],
      opsets: { '': 18 },
    });
    const scope = view.addFunction(proto);
    expect(scope.opset()).toBe(18);
    expect(scope.uses('x')).toMatchObject([{ index: 0 }, { index: 1 }]);
    expect(scope.definition('h')).toBeUndefined();
    expect(view.functionOf(makeNode('Twice', ['a'], ['b'], { domain: 'local' }))).toBe(proto);
    expect(() => view.addFunction(proto)).toThrow(/exists already/);
  });
});

describe('dead nodes', () => {
  test('all that nobody reads goes, with its initializers and value_info; inputs and outputs stay', () => {
    const { view, main, choice } = nested();
    main.append(makeNode('Neg', ['h'], ['dead']), makeNode('Abs', ['dead'], ['deader']));
    main.setValueInfo(float('dead'));
    main.addInitializer(scalar('unused'));
    expect(removeDeadNodes(view)).toEqual({ nodes: 2, initializers: 1 });
    expect(main.valueInfo('dead')).toBeUndefined();
    main.removeNode(choice);
    expect(removeDeadNodes(view)).toEqual({ nodes: 1, initializers: 2 });
    expect(main.inputs).toEqual(['x', 'c']);
    expect(main.outputs).toEqual(['y']);
  });

  test('an initializer that is an input, or that a quantization annotation names, stays', () => {
    const { view, main } = nested();
    main.addInput(float('given'));
    view.model.graph!.initializer.push(scalar('given'));
    main.addInitializer(scalar('scale'));
    view.model.graph!.quantizationAnnotation.push({
      tensorName: 'h',
      quantParameterTensorNames: [{ key: 'SCALE_TENSOR', value: 'scale' }],
    });
    expect(removeDeadNodes(new ModelView(view.model))).toEqual({ nodes: 0, initializers: 0 });
  });

  test('from given nodes, only what they read', () => {
    const { view, main } = nested();
    main.append(
      makeNode('Neg', ['h'], ['dead']),
      makeNode('Abs', ['dead'], ['deader']),
      makeNode('Neg', ['x'], ['other']),
    );
    expect(removeDeadNodes(view, [main.producer('deader')!])).toEqual({ nodes: 2, initializers: 0 });
    expect(main.producer('other')).toBeDefined();
  });
});
