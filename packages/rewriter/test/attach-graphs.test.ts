/** Adapters on graphs made by hand, against PEFT's own order of operations written in standard operators. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAdapter } from '@ort-dora/adapters';
import {
  DataType,
  externalTensors,
  type ModelProto,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  openModel,
  setExternalLocation,
  validateModel,
  writeModel,
} from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AttachOptions, attachAdapter, type FusedModuleReport } from '../src/index.js';
import { type TestModule, writeTestAdapter } from './support/adapters.js';
import { floats, op, type TestGraph, testGraph } from './support/graph.js';
import { relativeError, seeded, toBytes } from './support/numbers.js';
import { type Feeds, runModel } from './support/ort.js';
import { numbersOf } from './support/tensors.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'attach-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const random = seeded(11);
const values = (count: number) => Array.from({ length: count }, random);
const weights = (name: string, dims: readonly number[]) => floats(name, dims, values(dims.reduce((a, b) => a * b, 1)));
const input = (...dims: readonly number[]) =>
  new ort.Tensor('float32', Float32Array.from(values(dims.reduce((a, b) => a * b, 1))), dims);

const modelOf = (graph: TestGraph, opset = 20): ModelProto =>
  makeModel(testGraph(graph), { opsets: { '': opset }, irVersion: 8 });

interface Attached {
  readonly modules: readonly FusedModuleReport[];
  readonly output: string;
}

async function attach(
  model: ModelProto,
  modules: readonly TestModule[],
  { adapter = {}, ...options }: AttachOptions & { readonly adapter?: Parameters<typeof writeTestAdapter>[2] } = {},
): Promise<Attached> {
  const base = join(folder, 'base.onnx');
  await writeModel(model, base);
  const peft = mkdtempSync(join(folder, 'peft-'));
  await writeTestAdapter(peft, modules, adapter);
  await using opened = await openAdapter(peft);
  const output = join(mkdtempSync(join(folder, 'out-')), 'out.onnx');
  const [report] = await attachAdapter([{ input: base, output }], opened, { target: 'cpu', ...options });
  return { modules: report!.modules as readonly FusedModuleReport[], output };
}

/** Both forms give what PEFT's order of operations gives. */
async function expectRight(
  model: ModelProto,
  modules: readonly TestModule[],
  feeds: Feeds,
  adapter: Parameters<typeof writeTestAdapter>[2] = {},
): Promise<readonly FusedModuleReport[]> {
  const reference = await attach(model, modules, { form: 'reference', adapter });
  const expected = await runModel(reference.output, feeds);
  const unadapted = await runModel(model, feeds);
  let reports: readonly FusedModuleReport[] = [];
  for (const form of ['compose', 'linear'] as const) {
    const attached = await attach(model, modules, { form, adapter });
    await using file = await openModel(attached.output);
    validateModel(file.model);
    expect(file.model.irVersion).toBe(10n);
    const results = await runModel(attached.output, feeds);
    for (const name of Object.keys(expected)) {
      expect(relativeError(numbersOf(results[name]!), numbersOf(expected[name]!)), `${form} ${name}`).toBeLessThan(
        2 ** -19,
      );
    }
    reports = attached.modules;
  }
  const changed = Object.keys(expected).map((name) =>
    relativeError(numbersOf(unadapted[name]!), numbersOf(expected[name]!)),
  );
  expect(Math.max(...changed), 'the adapter does something').toBeGreaterThan(0.01);
  return reports;
}

const fc = { path: 'model.fc', outFeatures: 3, inFeatures: 4 };
const layer = (x: string, y: string, name = '/model/fc/MatMul') => ({ ...op('MatMul', [x, 'w'], y), name });

describe('around the layer', () => {
  it('a product that others read too keeps its bias apart', async () => {
    const model = modelOf({
      inputs: { x: [2, 4] },
      initializers: [weights('w', [4, 3]), weights('b', [3])],
      nodes: [layer('x', 'p'), op('Add', ['p', 'b'], 'y'), op('Tanh', ['p'], 'z')],
      outputs: ['y', 'z'],
    });
    const [report] = await expectRight(model, [fc], { x: input(2, 4) });
    expect(report).toMatchObject({ bias: false, operator: 'DoraLinear' });
  });

  it('results that are graph outputs keep their names', async () => {
    const model = modelOf({
      inputs: { x: [2, 5, 6, 4] },
      initializers: [weights('w', [4, 3]), weights('b', [3])],
      nodes: [layer('x', 'p'), op('Add', ['b', 'p'], 'y')],
      outputs: ['y', 'p'],
    });
    await expectRight(model, [fc], { x: input(2, 5, 6, 4) });
  });

  it('a bias in either place of the addition, and no other vector than one of constants', async () => {
    const model = modelOf({
      inputs: { x: [2, 4], v: [3] },
      initializers: [weights('w', [4, 3]), weights('b', [3])],
      nodes: [layer('x', 'p'), op('Add', ['b', 'p'], 'q'), op('Add', ['q', 'v'], 'y')],
      outputs: ['y'],
    });
    const [report] = await expectRight(model, [fc], { x: input(2, 4), v: input(3) });
    expect(report).toMatchObject({ bias: true, form: { base: 'MatMul+Add' } });
  });

  it('a module that is called twice is adapted twice, with one A and B', async () => {
    const model = modelOf({
      inputs: { x: [2, 4], z: [3, 4] },
      initializers: [weights('w', [4, 3])],
      nodes: [
        layer('x', 'p'),
        layer('z', 'q', '/model/fc/MatMul_1'),
        op('Concat', ['p', 'q'], 'y', { axis: { int: 0 } }),
      ],
      outputs: ['y'],
    });
    const reports = await expectRight(model, [fc], { x: input(2, 4), z: input(3, 4) });
    expect(reports.map(({ values: { y } }) => y)).toEqual(['p', 'q']);
    expect(new Set(reports.map(({ values: { loraA } }) => loraA)).size).toBe(1);
  });

  it('both branches of an If, over a weight of the graph around them', async () => {
    const branch = (name: string, after: string) =>
      makeGraph(name, {
        nodes: [layer('x', `${name}_p`), op(after, [`${name}_p`], `${name}_y`)],
        outputs: [makeValueInfo(`${name}_y`, DataType.FLOAT)],
      });
    const choose = makeNode('If', ['c'], ['y'], {
      name: 'if',
      attributes: { then_branch: { graph: branch('then', 'Tanh') }, else_branch: { graph: branch('else', 'Neg') } },
    });
    const model = modelOf({
      inputs: { x: [2, 4] },
      initializers: [weights('w', [4, 3])],
      nodes: [choose],
      outputs: ['y'],
    });
    model.graph!.input.push(makeValueInfo('c', DataType.BOOL, []));
    for (const which of [true, false]) {
      const reports = await expectRight(model, [fc], { x: input(2, 4), c: new ort.Tensor('bool', [which], []) });
      expect(reports.map(({ scope }) => scope)).toEqual(['if.then_branch', 'if.else_branch']);
    }
  });

  it('names that are taken', async () => {
    const model = modelOf({
      inputs: { x: [2, 4] },
      initializers: [weights('w', [4, 3]), weights('model.fc.lora_A.weight', [3]), weights('model.fc.dora_gain', [3])],
      nodes: [layer('x', 'p'), op('Sum', ['p', 'model.fc.lora_A.weight', 'model.fc.dora_gain'], 'y')],
      outputs: ['y'],
    });
    await expectRight(model, [fc], { x: input(2, 4) });
  });

  it.each([11, 12, 13, 17, 18, 23])('opset %i', async (opset) => {
    const model = modelOf(
      {
        inputs: { x: [2, 4] },
        initializers: [weights('w', [3, 4]), weights('b', [3])],
        nodes: [{ ...op('Gemm', ['x', 'w', 'b'], 'y', { transB: { int: 1 } }), name: '/model/fc/Gemm' }],
        outputs: ['y'],
      },
      opset,
    );
    await expectRight(model, [fc], { x: input(2, 4) });
  });

  it('an embedding whose result is scaled, and a convolution with a stride', async () => {
    const model = modelOf({
      inputs: { x: [2, 3, 8] },
      initializers: [weights('table', [6, 4]), floats('scale', [], [1.5]), weights('k', [5, 3, 3]), weights('kb', [5])],
      nodes: [
        { ...op('Gather', ['table', 'ids'], 'e'), name: '/embed/Gather' },
        op('Mul', ['e', 'scale'], 'words'),
        {
          ...op('Conv', ['x', 'k', 'kb'], 'y', { strides: { ints: [2] }, pads: { ints: [1, 1] } }),
          name: '/stem/Conv',
        },
      ],
      outputs: ['words', 'y'],
    });
    model.graph!.input.push(makeValueInfo('ids', DataType.INT64, [2, 2]));
    const reports = await expectRight(
      model,
      [
        { path: 'embed', kind: 'embedding', outFeatures: 4, inFeatures: 6 },
        { path: 'stem', kind: 'conv', outFeatures: 5, inFeatures: 3, kernel: [3] },
      ],
      { x: input(2, 3, 8), ids: new ort.Tensor('int64', BigInt64Array.of(0n, 5n, 3n, 3n), [2, 2]) },
    );
    expect(reports.map(({ kind, operator, weightShape }) => [kind, operator, weightShape])).toEqual([
      ['embedding', 'DoraCompose', [4, 6]],
      ['conv', 'DoraCompose', [5, 9]],
    ]);
  });
});

it.each([{ auto_pad: { string: 'VALID' } }, { auto_pad: { string: 'SAME_LOWER' }, strides: { ints: [2] } }])(
  'a convolution that pads by %o',
  async (attributes) => {
    const model = modelOf({
      inputs: { x: [1, 6, 9] },
      initializers: [weights('k', [6, 6, 2])],
      nodes: [{ ...op('Conv', ['x', 'k'], 'y', attributes), name: '/stem/Conv' }],
      outputs: ['y'],
    });
    await expectRight(model, [{ path: 'stem', kind: 'conv', outFeatures: 6, inFeatures: 6, kernel: [2] }], {
      x: input(1, 6, 9),
    });
  },
);

describe('weights that are stored in other ways', () => {
  const stored = makeTensor('', DataType.FLOAT, [4, 3], Float32Array.from(values(12)));
  const half = (name: string) => makeTensor(name, DataType.FLOAT16, [4, 3], toBytes(values(12), 'float16'));
  const toFloat = { to: { int: DataType.FLOAT } };
  it.each<[string, TestGraph['nodes'], TestGraph['initializers']]>([
    [
      'as a Constant',
      [makeNode('Constant', [], ['w'], { attributes: { value: { tensor: stored } } }), layer('x', 'y')],
      [],
    ],
    [
      'behind Identity and Transpose',
      [op('Identity', ['v'], 'u'), op('Transpose', ['u'], 'w'), layer('x', 'y')],
      [weights('v', [3, 4])],
    ],
    ['in half precision, widened in the graph', [op('Cast', ['h'], 'w', toFloat), layer('x', 'y')], [half('h')]],
    ['with a Gemm over rows', [{ ...op('Gemm', ['x', 'w'], 'y'), name: '/model/fc/Gemm' }], [weights('w', [4, 3])]],
    ['read through a no-op Cast of x', [op('Cast', ['x'], 'z', toFloat), layer('z', 'y')], [weights('w', [4, 3])]],
  ])('%s', async (_, nodes, initializers = []) => {
    const model = modelOf({ inputs: { x: [2, 4] }, initializers, nodes, outputs: ['y'] });
    const [report] = await expectRight(model, [fc], { x: input(2, 4) });
    expect(report).toMatchObject({ operator: 'DoraLinear', dtypes: { weight: 'float32' } });
  });
});

describe('element types', () => {
  const model = modelOf({
    inputs: { x: [2, 4] },
    initializers: [weights('w', [4, 3])],
    nodes: [layer('x', 'y')],
    outputs: ['y'],
  });

  it.each(['float16', 'bfloat16'] as const)(
    'a %s adapter on a float32 layer is widened, which is exact',
    async (type) => {
      const [report] = await expectRight(model, [fc], { x: input(2, 4) }, { type });
      expect(report!.dtypes).toEqual({ weight: 'float32', adapter: 'float32', magnitude: type });
    },
  );

  it('LoRA without magnitudes is the operator with a g of ones', async () => {
    const [report] = await expectRight(model, [fc], { x: input(2, 4) }, { dora: false });
    const { output } = await attach(model, [fc], { adapter: { dora: false } });
    await using file = await openModel(output);
    const gain = file.model.graph!.initializer.find(({ name }) => name === report!.values.gain)!;
    expect([...(await file.readFloat32(gain))]).toEqual([1, 1, 1]);
  });
});

describe('what is refused', () => {
  const conv = (attributes: Parameters<typeof op>[3], channels = 3) =>
    modelOf({
      inputs: { x: [1, 6, 9] },
      initializers: [weights('k', [6, channels, 3])],
      nodes: [{ ...op('Conv', ['x', 'k'], 'y', attributes), name: '/stem/Conv' }],
      outputs: ['y'],
    });
  const stem = (inFeatures: number): TestModule => ({
    path: 'stem',
    kind: 'conv',
    outFeatures: 6,
    inFeatures,
    kernel: [3],
  });

  it.each([
    [conv({ group: { int: 2 } }), stem(3), 'stem: adapters on convolutions in 2 groups are not attached'],
    [conv({ dilations: { ints: [2] } }, 6), stem(6), 'stem: adapters on dilated convolutions are not attached'],
    [
      modelOf({ inputs: { x: [4] }, initializers: [weights('w', [4, 3])], nodes: [layer('x', 'y')], outputs: ['y'] }),
      fc,
      'model.fc: the layer reads a single vector',
    ],
    [
      modelOf(
        { inputs: { x: [2, 4] }, initializers: [weights('w', [4, 3])], nodes: [layer('x', 'y')], outputs: ['y'] },
        10,
      ),
      fc,
      'the model imports opset 10; the functions of ort.dora need 11 or newer',
    ],
  ])('%#', async (model, module, message) => {
    await expect(attach(model, [module])).rejects.toThrow(message);
    expect(
      readdirSync(folder)
        .filter((name) => name.startsWith('out-'))
        .flatMap((name) => readdirSync(join(folder, name))),
    ).toEqual([]);
  });

  it('magnitudes of another layer, where the path is found in part only', async () => {
    const model = modelOf({
      inputs: { x: [2, 4] },
      initializers: [weights('w', [4, 3])],
      nodes: [layer('x', 'y', '/fc/MatMul')],
      outputs: ['y'],
    });
    await expect(attach(model, [{ ...fc, magnitude: 40 }])).rejects.toThrow(
      /model\.fc: only a part of its path is in the export \(fc\), and its magnitudes are \d+ times the norms/,
    );
    const whole = modelOf({
      inputs: { x: [2, 4] },
      initializers: [weights('w', [4, 3])],
      nodes: [layer('x', 'y')],
      outputs: ['y'],
    });
    expect((await attach(whole, [{ ...fc, magnitude: 40 }])).modules).toHaveLength(1);
  });
});

it('LoRA on a path that lacks segments inside is refused, DoRA is not, whose magnitudes tell', async () => {
  const model = modelOf({
    inputs: { x: [2, 4] },
    initializers: [weights('w', [4, 3])],
    nodes: [layer('x', 'y', '/model/layers.0/fc/MatMul')],
    outputs: ['y'],
  });
  const module = { ...fc, path: 'model.decoder.layers.0.fc', magnitude: 2 };
  await expect(attach(model, [module], { adapter: { dora: false } })).rejects.toThrow(
    'model.decoder.layers.0.fc: the path in the export (model.layers.0.fc) lacks segments inside',
  );
  expect((await attach(model, [module])).modules).toHaveLength(1);
});

describe('files', () => {
  /** A base whose weight is in a file beside it. */
  async function externalBase(): Promise<string> {
    const model = modelOf({
      inputs: { x: [2, 4] },
      initializers: [weights('w', [4, 3])],
      nodes: [layer('x', 'y')],
      outputs: ['y'],
    });
    const path = join(folder, 'base.onnx');
    const [tensor] = model.graph!.initializer;
    writeFileSync(join(folder, 'base.data'), tensor!.rawData!);
    setExternalLocation(tensor!, { location: 'base.data', offset: 0, length: 48 });
    await writeModel(model, path);
    return path;
  }

  it('the weights stay where they are, the same bytes come out each time, and the base is not touched', async () => {
    const base = await externalBase();
    await writeTestAdapter(join(folder, 'peft'), [fc]);
    await using adapter = await openAdapter(join(folder, 'peft'));
    const before = readFileSync(base);
    const outputs = ['a.onnx', 'b.onnx'].map((name) => join(folder, name));
    for (const output of outputs) await attachAdapter([{ input: base, output }], adapter);
    const [a, b] = outputs.map((path) => readFileSync(path));
    expect(a!.equals(b!)).toBe(true);
    expect(readFileSync(base).equals(before)).toBe(true);
    await using file = await openModel(outputs[0]!);
    expect(externalTensors(file.model).map(({ place }) => place.location)).toEqual(['base.data']);
  });

  it('--compact writes weights that are used, once', async () => {
    const base = await externalBase();
    await writeTestAdapter(join(folder, 'peft'), [fc]);
    await using adapter = await openAdapter(join(folder, 'peft'));
    const output = join(folder, 'out', 'model.onnx');
    await attachAdapter([{ input: base, output }], adapter, { compact: true });
    expect(readdirSync(join(folder, 'out')).sort()).toEqual(['model.onnx', 'model.onnx_data']);
    expect(Object.keys(await runModel(output, { x: input(2, 4) }))).toEqual(['y']);
  });

  it('an aborted work leaves nothing', async () => {
    const base = await externalBase();
    await writeTestAdapter(join(folder, 'peft'), [fc]);
    await using adapter = await openAdapter(join(folder, 'peft'));
    const output = join(folder, 'out', 'model.onnx');
    const controller = new AbortController();
    const work = attachAdapter([{ input: base, output }], adapter, {
      signal: controller.signal,
      onProgress: ({ stage }) => stage === 'write' && controller.abort(),
    });
    await expect(work).rejects.toThrow();
    expect(readdirSync(folder).sort()).toEqual(['base.data', 'base.onnx', 'peft']);
  });
});
