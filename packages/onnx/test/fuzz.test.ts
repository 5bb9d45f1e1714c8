/**
 * Damaged models: whatever is read, it is a result or an OnnxError, soon. More rounds: ONNX_FUZZ_ROUNDS=100000, from
 * another seed on: ONNX_FUZZ_SEED=12345.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  DataType,
  decodeModel,
  encodeModel,
  externalTensors,
  firstUnsorted,
  type ModelProto,
  ModelView,
  makeFunction,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  OnnxError,
  removeDeadNodes,
  setExternalLocation,
  sortNodes,
  validateModel,
  visitTensors,
} from '../src/index.js';
import { MODEL, type Schema } from '../src/schema.js';
import { describeTensor, inlineBytes } from '../src/tensor.js';
import { type Message, randomEdit } from './random-edit.js';
import { below, type Random, seededRandom } from './wire-forms.js';

const rounds = Number(process.env.ONNX_FUZZ_ROUNDS ?? 4000);
const firstSeed = Number(process.env.ONNX_FUZZ_SEED ?? 1);
const timeout = 30_000 + rounds * 20;
/** Far above what a case takes (milliseconds), far below a hang. */
const SLOWEST_MS = 3000;

const models = [everything(), new Uint8Array(readFileSync(sample('c08_linear_bias_dynamo_small')))];

test(`${rounds} models with damaged bytes`, { timeout }, () => {
  const outcomes = new Map<string, number>();
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    const random = seededRandom(seed);
    const bytes = damaged(models[random() < 0.9 ? 0 : 1]!, random);
    count(
      outcomes,
      survive(seed, () => examine(decodeModel(bytes), bytes)),
    );
  }
  // The damage reaches everything: some cases pass, others fail in each of many ways.
  expect(outcomes.get('passed')).toBeGreaterThan(0);
  expect(outcomes.get('malformed')).toBeGreaterThan(0);
  expect(outcomes.size).toBeGreaterThan(8);
});

test(`${rounds} models with damaged structure`, { timeout }, () => {
  const outcomes = new Map<string, number>();
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    const random = seededRandom(seed);
    const model = decodeModel(models[0]!);
    for (let edits = 1 + below(random, 4); edits > 0; edits--) {
      if (random() < 0.5) randomEdit(MODEL as unknown as Schema<object>, model as unknown as Message, random);
      else swapSomething(model, random);
    }
    count(
      outcomes,
      survive(seed, () => examine(model)),
    );
  }
  expect(outcomes.get('passed')).toBeGreaterThan(0);
  expect(outcomes.size).toBeGreaterThan(10);
});

/** Does with a model what a rewriter does. */
function examine(model: ModelProto, bytes?: Uint8Array): void {
  if (bytes !== undefined) expect(Buffer.compare(encodeModel(model), bytes)).toBe(0);
  validateModel(model);
  externalTensors(model);
  // What has been validated is sound: from here on nothing may fail.
  const sound = () => {
    visitTensors(model, (tensor) => {
      if (tensor.dataLocation !== 1 && (tensor.dataType ?? 0) <= 28 && describeTensor(tensor).type.name !== 'string')
        inlineBytes(tensor);
    });
    const view = new ModelView(model);
    for (const scope of view.scopes()) {
      expect(firstUnsorted(scope)).toBeUndefined();
      for (const node of scope.nodes) {
        for (const name of node.output) {
          scope.uses(name);
          scope.tensorType(name);
          scope.constant(name);
        }
      }
      sortNodes(scope);
    }
    removeDeadNodes(view);
    validateModel(model);
  };
  try {
    sound();
    encodeModel(model);
  } catch (error) {
    // A value of the wrong kind put there by an edit, or two members of a oneof, shows on encoding only.
    if (!(error instanceof OnnxError && error.code === 'invalid-value'))
      throw new Error('a validated model is not sound', { cause: error });
  }
}

function survive(seed: number, run: () => void): string {
  const start = performance.now();
  try {
    run();
    return 'passed';
  } catch (error) {
    if (error instanceof OnnxError) return error.code;
    throw new Error(`seed ${seed}`, { cause: error });
  } finally {
    expect(performance.now() - start, `seed ${seed}`).toBeLessThan(SLOWEST_MS);
  }
}

function count(outcomes: Map<string, number>, outcome: string): void {
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
}

function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  let result = [Buffer.from(bytes)];
  for (let times = 1 + below(random, 3); times > 0; times--) {
    const whole = Buffer.concat(result);
    const [from, to] = [below(random, whole.length + 1), below(random, whole.length + 1)].sort((a, b) => a - b) as [
      number,
      number,
    ];
    const short = Math.min(to, from + below(random, 40));
    switch (below(random, 6)) {
      case 0:
        for (let flips = 1 + below(random, 4); flips > 0; flips--)
          whole[below(random, whole.length)]! ^= 1 << below(random, 8);
        result = [whole];
        break;
      case 1:
        result = [whole.subarray(0, to)];
        break;
      case 2:
        result = [whole.subarray(0, from), whole.subarray(short)];
        break;
      case 3:
        result = [whole.subarray(0, short), whole.subarray(from)];
        break;
      case 4:
        result = [
          whole.subarray(0, from),
          Buffer.from(Array.from({ length: below(random, 12) }, () => below(random, 256))),
          whole.subarray(from),
        ];
        break;
      default:
        if (whole.length > 0) whole[below(random, whole.length)] = [0, 1, 127, 128, 255][below(random, 5)]!;
        result = [whole];
    }
  }
  return new Uint8Array(Buffer.concat(result));
}

/** Damage that a format cannot see: names, dims, nodes and types exchanged. */
function swapSomething(model: ModelProto, random: Random): void {
  const graph = model.graph;
  if (graph === undefined || graph.node.length === 0) return;
  const pick = <T>(list: readonly T[]) => list[below(random, list.length)];
  const names = graph.node.flatMap((node) => [...node.input, ...node.output]);
  const node = pick(graph.node)!;
  switch (below(random, 8)) {
    case 0:
      node.input[below(random, 3)] = pick(names) ?? '';
      break;
    case 1:
      node.output[0] = pick(names) ?? '';
      break;
    case 2:
      graph.node.splice(below(random, graph.node.length), 1);
      break;
    case 3:
      graph.node.push(node);
      break;
    case 4: {
      const tensor = pick(graph.initializer);
      if (tensor !== undefined)
        tensor.dims = [BigInt(below(random, 9) - 3), 2n ** BigInt(below(random, 63))].slice(below(random, 2));
      break;
    }
    case 5:
      graph.node.reverse();
      break;
    case 6: {
      const attribute = pick(node.attribute);
      if (attribute !== undefined) attribute.type = below(random, 16);
      break;
    }
    default: {
      const inner = pick(node.attribute)?.g;
      if (inner !== undefined) inner.node.push(structuredClone(node));
      else node.opType = 'Double';
    }
  }
}

function sample(name: string): URL {
  return new URL(`../../../models/fixtures/samples/${name}/model.onnx`, import.meta.url);
}

/** A small model with one of everything. */
function everything(): Uint8Array {
  const float = (name: string) => makeValueInfo(name, DataType.FLOAT, ['n', 2]);
  const branch = (output: string) =>
    makeGraph(output, { nodes: [makeNode('Add', ['h', 'w'], [output])], outputs: [float(output)] });
  const body = makeGraph('body', {
    inputs: [makeValueInfo('i', DataType.INT64, []), makeValueInfo('go', DataType.BOOL, []), float('s')],
    nodes: [makeNode('Identity', ['go'], ['go_on']), makeNode('Mul', ['s', 'e'], ['next'])],
    outputs: [makeValueInfo('go_on', DataType.BOOL, []), float('next')],
  });
  const external = makeTensor('e', DataType.FLOAT, [2], new Float32Array(2));
  setExternalLocation(external, { location: 'weights.bin', offset: 4096, length: 8 });
  const graph = makeGraph('main', {
    inputs: [float('x'), makeValueInfo('c', DataType.BOOL, [])],
    initializers: [
      makeTensor('w', DataType.FLOAT16, [1, 2], Uint16Array.of(1, 2)),
      {
        ...makeTensor('trips', DataType.INT64, [], BigInt64Array.of(3n)),
        rawData: undefined,
        int64Data: BigInt64Array.of(3n),
      },
      external,
    ],
    nodes: [
      makeNode('Twice', ['x'], ['h'], {
        domain: 'local',
        name: 'twice',
        metadata: { source: 'test' },
        attributes: { k: { int: 2 } },
      }),
      makeNode('Constant', [], ['unused'], { attributes: { value_ints: { ints: [1, 2, -3] } } }),
      makeNode('If', ['c'], ['b'], {
        attributes: { then_branch: { graph: branch('t') }, else_branch: { graph: branch('f') } },
      }),
      makeNode('Loop', ['trips', '', 'b'], ['y'], { attributes: { body: { graph: body } } }),
    ],
    outputs: [float('y')],
    valueInfos: [float('h')],
  });
  const values = makeTensor('sparse', DataType.FLOAT, [1], Float32Array.of(1));
  const indices = makeTensor('', DataType.INT64, [1], BigInt64Array.of(1n));
  graph.sparseInitializer.push({ values, indices, dims: [4n] });
  const twice = makeFunction('local', 'Twice', {
    inputs: ['a'],
    outputs: ['b'],
    attributes: ['k'],
    nodes: [makeNode('Double', ['a'], ['b'], { domain: 'local' })],
    opsets: { '': 17, local: 1 },
  });
  const double = makeFunction('local', 'Double', {
    inputs: ['a'],
    outputs: ['b'],
    nodes: [makeNode('Add', ['a', 'a'], ['b'])],
    opsets: { '': 17 },
  });
  return encodeModel(makeModel(graph, { opsets: { '': 17, local: 1 }, functions: [twice, double] }));
}
