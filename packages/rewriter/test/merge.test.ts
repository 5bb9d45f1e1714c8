// Merged models: plain graphs again, as close to PyTorch as the one rounding of W' allows.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { openAdapter } from '@ort-dora/adapters';
import {
  DataType,
  encodeModel,
  type ModelFile,
  type ModelProto,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  openModel,
  setExternalLocation,
} from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  attachAdapter,
  type FloatType,
  type MergedModuleReport,
  mergeModel,
  operatorFunction,
  operatorNode,
  rewriteModel,
} from '../src/index.js';
import { DATA_TYPE, toFloat64 } from '../src/tensors/elements.js';
import { emptyTensor } from '../src/tensors/make.js';
import { layerModel as exportedLayer, LAYERS_FOLDER, layerArrays } from './support/layers.js';
import { type NpyArray, readNpz, toNumbers, toTensor } from './support/npz.js';
import { matMul, relativeError, seeded, toBytes, toFloat16Bits } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { inputSets, SAMPLES, sampleModel } from './support/samples.js';
import { numbersOf } from './support/tensors.js';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ort-dora-merge-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const isMerged = (module: { readonly status: string }): module is MergedModuleReport => module.status === 'merged';

describe.each(SAMPLES)('$name', (sample) => {
  const { meta, name } = sample;

  // Whole models are merged from two forms, single layers from all.
  const forms = ['export', 'linear', 'compose', 'runtime'] as const;
  it.each(name.startsWith('m') ? forms.slice(0, 2) : forms)('is merged from its %s form', async (form) => {
    const input = form === 'export' ? sample.path : join(scratch, `${name}-${form}.onnx`);
    if (form !== 'export') {
      const settings = form === 'runtime' ? { scale: 'runtime' as const } : { form };
      await rewriteModel(sample.path, input, { target: 'cpu', ...settings });
    }
    const output = join(scratch, `${name}-${form}-merged.onnx`);
    const report = await mergeModel(input, output);
    // Of chained adapters only the last one is a module of its own.
    const layers = new Set(meta.dora_modules?.map(({ module }) => module)).size;
    expect(report.totals).toMatchObject({ merged: layers, skipped: 0 });
    expect(report.modules.filter(isMerged).every(({ rounding }) => rounding !== null)).toBe(true);
    await using file = await openModel(output);
    expect(file.model.functions.filter(({ domain }) => domain === 'ort.dora')).toEqual([]);
    expect(file.model.opsetImport.map(({ domain }) => domain)).not.toContain('ort.dora');
    if (form === 'export') expect(file.model.irVersion).toBe(sampleModel(sample).irVersion);
    if (layers === 0) expect(readFileSync(output).equals(readFileSync(input))).toBe(true);
    for (const { feeds, expected } of inputSets(sample)) {
      const before = await runModel(sample.path, feeds);
      for (const [key, tensor] of Object.entries(await runModel(output, feeds))) {
        const reference = toNumbers(expected.get(`${key}__f64`)!);
        const rounding = tensor.type === 'float16' ? 2 ** -11 : 2 ** -24;
        const error = relativeError(numbersOf(tensor), reference);
        expect(error).toBeLessThanOrEqual(2 * relativeError(numbersOf(before[key]!), reference) + rounding);
      }
    }
  });
});

it('linear, embedding and convolution layers of one model', async () => {
  const path = join(import.meta.dirname, 'fixtures/extract/model.onnx');
  const output = join(scratch, 'kinds.onnx');
  const report = await mergeModel(path, output);
  expect(report.totals).toMatchObject({ merged: 6, skipped: 0 });
  await using file = await openModel(output);
  const { node, initializer, valueInfo } = file.model.graph!;
  const named = new Set([...node.flatMap((each) => each.output), ...initializer.map((each) => each.name)]);
  expect(valueInfo.map((each) => each.name).filter((name) => !named.has(name))).toEqual([]);
  const ids = BigInt64Array.from({ length: 14 }, (_, index) => BigInt((index * 7) % 24));
  const feeds = { ids: new ort.Tensor('int64', ids, [2, 7]) };
  const [before, after] = [await runModel(path, feeds), await runModel(output, feeds)];
  for (const name of Object.keys(before)) {
    expect(relativeError(numbersOf(after[name]!), numbersOf(before[name]!))).toBeLessThan(2e-6);
  }
});

it('a layer that is called twice has one merged weight', async () => {
  const [out, inner, rank, scaling] = [6, 5, 2, 0.5];
  const random = seeded(9);
  const fill = (count: number) => Float64Array.from({ length: count }, random);
  const layer = { type: 'float32', transW: 1, scaling, out, inner, rank } as const;
  const tensors = {
    w: toBytes(fill(out * inner), 'float32'),
    a: fill(rank * inner),
    b: fill(out * rank),
    m: fill(out),
  };
  const model = layerModel(layer, tensors);
  const [, linear] = model.graph!.node;
  model.graph!.node.push({ ...linear!, name: 'fc_again', input: ['z', ...linear!.input.slice(1)], output: ['again'] });
  model.graph!.input.push(makeValueInfo('z', DataType.FLOAT));
  model.graph!.output.push(makeValueInfo('again', DataType.FLOAT));
  const path = join(scratch, 'twice.onnx');
  writeFileSync(path, encodeModel(model));
  const report = await mergeModel(path, `${path}.merged`);
  expect(report.modules.filter(isMerged).map(({ rounding }) => rounding === null)).toEqual([false, true]);
  expect(report.totals.mergedCost).toEqual({ weightBytes: 120, adapterBytes: 0, flopsPerRow: 4 * out * inner });
  await using file = await openModel(`${path}.merged`);
  expect(file.model.graph!.initializer).toHaveLength(1);
  const input = (seed: number) => new ort.Tensor('float32', Float32Array.from({ length: 15 }, seeded(seed)), [3, 5]);
  const feeds = { x: input(1), z: input(2) };
  const [before, after] = [await runModel(path, feeds), await runModel(`${path}.merged`, feeds)];
  for (const name of ['y', 'again']) {
    expect(relativeError(numbersOf(after[name]!), numbersOf(before[name]!))).toBeLessThan(1e-6);
  }
});

it('layers in both branches of an If, whose weights have one name', async () => {
  const [out, inner, rank, scaling] = [6, 5, 2, 0.5];
  const layer = { type: 'float32', transW: 0, scaling, out, inner, rank } as const;
  /** A layer with its weights inside a branch. */
  const branch = (name: string, seed: number) => {
    const random = seeded(seed);
    const fill = (count: number) => Float64Array.from({ length: count }, random);
    const w = toBytes(fill(out * inner), 'float32');
    const model = layerModel(layer, { w, a: fill(rank * inner), b: fill(out * rank), m: fill(out) });
    const result = makeValueInfo(`${name}.y`, DataType.FLOAT);
    const graph = { ...model.graph!, name, input: [], output: [result] };
    graph.node[0]!.output = [`${name}.dora_gain`];
    graph.node[1]!.output = [`${name}.y`];
    graph.node[1]!.input[4] = `${name}.dora_gain`;
    return { model, graph };
  };
  const [left, right] = [branch('left', 21), branch('right', 22)];
  const choice = makeNode('If', ['condition'], ['y'], {
    attributes: { then_branch: { graph: left.graph }, else_branch: { graph: right.graph } },
  });
  const model: ModelProto = {
    ...left.model,
    graph: makeGraph('choice', {
      inputs: [makeValueInfo('x', DataType.FLOAT), makeValueInfo('condition', DataType.BOOL)],
      outputs: [makeValueInfo('y', DataType.FLOAT)],
      nodes: [choice],
    }),
  };
  const path = join(scratch, 'if.onnx');
  writeFileSync(path, encodeModel(model));
  const report = await mergeModel(path, `${path}.merged`);
  expect(report.totals).toMatchObject({ merged: 2, skipped: 0, mergedCost: { weightBytes: 240 } });
  const x = new ort.Tensor('float32', Float32Array.from({ length: 15 }, seeded(1)), [3, 5]);
  for (const chosen of [true, false]) {
    const feeds = { x, condition: new ort.Tensor('bool', [chosen], []) };
    const [before, after] = [await runModel(path, feeds), await runModel(`${path}.merged`, feeds)];
    expect(relativeError(numbersOf(after.y!), numbersOf(before.y!))).toBeLessThan(1e-6);
  }
});

describe('every other recorded export', () => {
  const folder = join(import.meta.dirname, 'exports');
  const exports = readdirSync(folder).filter((file) => file.endsWith('.onnx') && !file.includes('bfloat16'));

  it.each(exports)('%s', async (file) => {
    const path = join(folder, file);
    const output = join(scratch, file);
    const report = await mergeModel(path, output);
    expect(report.totals.merged).toBeGreaterThan(0);
    expect(report.totals.skipped).toBe(0);
    const arrays = readNpz(path.replace('.onnx', '.npz'));
    await using opened = await openModel(output);
    const feeds = Object.fromEntries(
      opened.model.graph!.input.map(({ name = '', type }) => {
        const array = arrays.get(name)!;
        const isHalf = type?.tensorType?.elemType === DataType.FLOAT16 && array.descr === '<f4';
        return [name, isHalf ? halves(array) : toTensor(array)];
      }),
    );
    const before = await runModel(path, feeds);
    for (const [key, tensor] of Object.entries(await runModel(output, feeds))) {
      expect(relativeError(numbersOf(tensor), numbersOf(before[key]!))).toBeLessThan(
        tensor.type === 'float16' ? 4e-3 : 4e-6,
      );
    }
  });
});

describe('layers of other kinds, as PEFT 0.21 exports them', () => {
  const layers = readdirSync(LAYERS_FOLDER).flatMap((file) => /^(.*_peft0\.21)\.onnx\.gz$/.exec(file)?.[1] ?? []);

  it.each(layers)('%s', async (name) => {
    const path = join(scratch, `${name}.onnx`);
    const output = join(scratch, `${name}-merged.onnx`);
    writeFileSync(path, encodeModel(exportedLayer(name)));
    const report = await mergeModel(path, output);
    if (name.includes('groups')) {
      expect(report.modules).toMatchObject([{ status: 'skipped', reason: expect.stringContaining('2 groups') }]);
    } else expect(report.totals).toMatchObject({ merged: 1, skipped: 0 });
    const arrays = layerArrays(name);
    await using file = await openModel(path);
    const inputs = file.model.graph!.input.map(({ name = '' }) => [name, toTensor(arrays.get(name)!)] as const);
    const [before, after] = await Promise.all(
      [path, output].map((model) => runModel(model, Object.fromEntries(inputs))),
    );
    // W' is rounded to W's type, and so is what is made of it.
    const rounding = name.includes('half') ? 2 ** -10 : 2 ** -23;
    for (const [key, tensor] of Object.entries(after!)) {
      const reference = toNumbers(arrays.get(key)!);
      const original = relativeError(numbersOf(before![key]!), reference);
      expect(relativeError(numbersOf(tensor), reference)).toBeLessThanOrEqual(2 * original + rounding);
    }
  });
});

function halves(array: NpyArray): ort.Tensor {
  return new ort.Tensor('float16', Uint16Array.from(toNumbers(array), toFloat16Bits), array.dims);
}

describe('against PEFT’s merge_and_unload', () => {
  it.each(['float32', 'float16', 'bfloat16'] as const)('%s: no further from float64', async (type) => {
    const arrays = readNpz(join(import.meta.dirname, 'fixtures/merge', `${type}.npz`));
    const [w, a, b, m, peft] = ['W', 'A', 'B', 'm', 'merged'].map((name) =>
      Float64Array.from(toNumbers(arrays.get(name)!)),
    ) as [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array];
    const [out, inner, rank, scaling] = [40, 56, 4, 1.5];
    const exact = matMul(b, a, out, rank, inner).map((delta, index) => w[index]! + scaling * delta);
    for (let row = 0; row < out; row++) {
      const values = exact.subarray(row * inner, (row + 1) * inner);
      const gain = m[row]! / Math.hypot(...values);
      for (let column = 0; column < inner; column++) values[column]! *= gain;
    }
    for (const transW of [0, 1] as const) {
      const stored = transW === 0 ? w : Float64Array.from(w, (_, at) => w[(at % out) * inner + Math.floor(at / out)]!);
      const path = join(scratch, `peft-${type}-${transW}.onnx`);
      const layer = { type, transW, scaling, out, inner, rank };
      writeFileSync(path, encodeModel(layerModel(layer, { w: toBytes(stored, type), a, b, m })));
      const report = await mergeModel(path, `${path}.merged`);
      await using file = await openModel(`${path}.merged`);
      const [merged] = file.model.graph!.initializer;
      const values = toFloat64(await file.readBytes(merged!), type);
      const ours = transW === 0 ? values : values.map((_, at) => values[(at % inner) * out + Math.floor(at / inner)]!);
      const [module] = report.modules.filter(isMerged);
      for (const error of [largestError, meanSquareError]) {
        expect(error(ours, exact)).toBeLessThanOrEqual(error(peft, exact));
      }
      expect(module!.rounding!.max).toBeGreaterThan(0);
      expect(module!.rounding!.max).toBeLessThanOrEqual(
        { float32: 2 ** -24, float16: 2 ** -11, bfloat16: 2 ** -8 }[type],
      );
    }
  });
});

function largestError(actual: Float64Array, exact: Float64Array): number {
  return actual.reduce((worst, value, index) => Math.max(worst, Math.abs(value - exact[index]!)), 0);
}

function meanSquareError(actual: Float64Array, exact: Float64Array): number {
  return actual.reduce((sum, value, index) => sum + (value - exact[index]!) ** 2, 0);
}

interface Layer {
  readonly type: FloatType;
  readonly transW: 0 | 1;
  readonly scaling: number;
  readonly out: number;
  readonly inner: number;
  readonly rank: number;
}

/** A model of one DoraLinear `y`, with g computed by DoraScale from m. */
function layerModel(
  { type, transW, scaling, out, inner, rank }: Layer,
  tensors: {
    readonly w: Uint8Array | undefined;
    readonly a: Float64Array;
    readonly b: Float64Array;
    readonly m: Float64Array;
  },
): ModelProto {
  const layouts = { transW, transA: 0, transB: 0 } as const;
  const linear = { op: 'DoraLinear', base: type, adapter: type, bias: false, ...layouts } as const;
  const scale = { op: 'DoraScale', weight: type, adapter: type, magnitude: type, ...layouts } as const;
  const options = { opset: 18, target: 'cpu', scaling } as const;
  const stored = (name: string, dims: readonly number[], bytes: Uint8Array | undefined) => ({
    ...emptyTensor(name, { dataType: DATA_TYPE[type], dims }),
    rawData: bytes,
  });
  const graph = makeGraph('layer', {
    inputs: [makeValueInfo('x', DATA_TYPE[type])],
    outputs: [makeValueInfo('y', DATA_TYPE[type])],
    initializers: [
      stored('W', transW === 0 ? [out, inner] : [inner, out], tensors.w),
      stored('A', [rank, inner], toBytes(tensors.a, type)),
      stored('B', [out, rank], toBytes(tensors.b, type)),
      stored('m', [out], toBytes(tensors.m, type)),
    ],
    nodes: [
      operatorNode(scale, options, { inputs: ['W', 'A', 'B', 'm'], outputs: ['fc.dora_gain'], scaling }),
      operatorNode(linear, options, {
        inputs: ['x', 'W', 'A', 'B', 'fc.dora_gain'],
        outputs: ['y'],
        name: 'fc',
        scaling,
      }),
    ],
  });
  return makeModel(graph, {
    irVersion: 10,
    opsets: { '': 18, 'ort.dora': 1 },
    functions: [operatorFunction(scale, options), operatorFunction(linear, options)],
  });
}

describe('a large layer', () => {
  const [out, inner, rank, scaling] = [4100, 4100, 2, 0.5];

  it('is streamed from its data file to one of the output’s own', async () => {
    const random = seeded(3);
    const fill = (count: number) => Float64Array.from({ length: count }, random);
    const [a, b, m] = [fill(rank * inner), fill(out * rank), fill(out)];
    const model = layerModel({ type: 'float32', transW: 0, scaling, out, inner, rank }, { w: undefined, a, b, m });
    const bytes = out * inner * 4;
    setExternalLocation(model.graph!.initializer[0]!, { location: 'large.data', offset: 0, length: bytes });
    // A sparse file: W is zero, so W' = g·s·B·A, whose rows have the norms m.
    writeFileSync(join(scratch, 'large.data'), '');
    truncateSync(join(scratch, 'large.data'), bytes);
    const path = join(scratch, 'large.onnx');
    writeFileSync(path, encodeModel(model));
    const before = readFileSync(path);
    const output = join(scratch, 'large-merged.onnx');
    const done: number[] = [];
    const report = await mergeModel(path, output, {
      compact: true,
      onProgress: (event) => {
        if (event.stage !== 'write') return;
        expect(event.total).toBe(bytes);
        done.push(event.done);
      },
    });
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.length).toBeGreaterThan(8);
    expect(done.at(-1)).toBe(bytes);
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(statSync(output).size).toBeLessThan(100_000);
    expect(statSync(`${output}_merged_data`).size).toBe(bytes);
    expect(readdirSync(scratch).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    await using file = await openModel(output);
    const [merged] = file.model.graph!.initializer;
    const rounded = (values: Float64Array) => Float64Array.from(values, Math.fround);
    const [a32, b32, m32] = [rounded(a), rounded(b), rounded(m)];
    for (const row of [0, 255, 256, 4099]) {
      const values = toFloat64(
        await file.readBytes(merged!, { offset: row * inner * 4, length: inner * 4 }),
        'float32',
      );
      const direction = matMul(b32.subarray(row * rank, (row + 1) * rank), a32, 1, rank, inner);
      const factor = m32[row]! / Math.hypot(...direction);
      expect(
        relativeError(
          values,
          direction.map((value) => value * factor),
        ),
      ).toBeLessThan(2 ** -22);
    }
    expect(report.totals).toMatchObject({
      merged: 1,
      fused: { weightBytes: bytes, adapterBytes: 4 * (rank * inner + out * rank + out) },
      mergedCost: { weightBytes: bytes, adapterBytes: 0, flopsPerRow: 2 * out * inner },
      bytesPerAdapter: { merged: bytes, fused: 4 * (rank * inner + out * rank + out) },
    });
  }, 60_000);
});

it('an attached model forgets its adapter', async () => {
  const [attached, output] = [join(scratch, 'attached.onnx'), join(scratch, 'attached-merged.onnx')];
  const fixtures = join(import.meta.dirname, 'fixtures/attach');
  await using adapter = await openAdapter(join(fixtures, 'adapters/dora'));
  await attachAdapter([{ input: join(fixtures, 'bases/dynamo.onnx'), output: attached }], adapter);
  const report = await mergeModel(attached, output);
  expect(report.totals).toMatchObject({ merged: adapter.modules.size, skipped: 0 });
  await using before = await openModel(attached);
  await using after = await openModel(output);
  const keys = ({ model }: ModelFile) => model.metadataProps.map(({ key }) => key);
  expect(keys(before)).toEqual(expect.arrayContaining(['ort_dora.adapter_config', 'ort_dora.modules']));
  expect(keys(after).filter((key) => key?.startsWith('ort_dora'))).toEqual([]);
});

it('leaves nothing of a merge that is stopped', async () => {
  const folder = mkdtempSync(join(scratch, 'stopped-'));
  const stop = new AbortController();
  const merging = mergeModel(join(import.meta.dirname, 'fixtures/extract/model.onnx'), join(folder, 'out', 'm.onnx'), {
    signal: stop.signal,
    onProgress: ({ stage }) => {
      if (stage === 'write') stop.abort();
    },
  });
  await expect(merging).rejects.toMatchObject({ name: 'AbortError' });
  expect(readdirSync(folder)).toEqual([]);
});

it('a quantized base keeps its adapter, and the report says so', async () => {
  const fixtures = join(import.meta.dirname, 'fixtures/attach');
  const [attached, output] = [join(scratch, 'nbits.onnx'), join(scratch, 'nbits-merged.onnx')];
  await using adapter = await openAdapter(join(fixtures, 'adapters/dora'));
  await attachAdapter([{ input: join(fixtures, 'bases/dynamo_nbits8.onnx'), output: attached }], adapter);
  const report = await mergeModel(attached, output);
  expect(report.totals).toMatchObject({ merged: 0, skipped: adapter.modules.size });
  expect(report.modules[0]).toMatchObject({
    status: 'skipped',
    reason: expect.stringMatching(/^its base is quantized/),
  });
});

describe('what cannot be merged stays as it is', () => {
  const compose = SAMPLES.find(({ name }) => name.startsWith('c05'))!;

  /** A rewritten sample with the base layer visible, edited. */
  async function edited(edit: (model: ModelProto) => void): Promise<string> {
    const path = join(scratch, 'compose.onnx');
    await rewriteModel(compose.path, path, { form: 'compose', target: 'cpu' });
    await using file = await openModel(path);
    edit(file.model);
    writeFileSync(path, encodeModel(file.model));
    return path;
  }

  it.each<[string, (model: ModelProto) => void, string]>([
    [
      'a norm of another matrix',
      ({ graph }) => {
        const scale = graph!.node.find(({ opType }) => opType === 'DoraScale')!;
        graph!.initializer.push({ ...graph!.initializer.find(({ name }) => name === 'A')!, name: 'other' });
        scale.input = scale.input.with(1, 'other');
      },
      'g is computed from "other", which the layer does not use',
    ],
    [
      'a norm with another scaling',
      ({ graph }) => {
        const scale = graph!.node.find(({ opType }) => opType === 'DoraScale')!;
        scale.attribute.find(({ name }) => name === 'scaling')!.f = 3;
      },
      'g is computed with another scaling',
    ],
    [
      'one g for all channels',
      ({ graph }) => {
        graph!.initializer.push(makeTensor('one', DataType.FLOAT, [1], Float32Array.of(2)));
        const linear = graph!.node.find(({ opType }) => opType === 'DoraLinear')!;
        linear.input = linear.input.with(4, 'one');
      },
      '"one" does not have a value for each of 6 channels',
    ],
    [
      'a bias of another type',
      ({ graph }) => {
        graph!.initializer.push(makeTensor('bias', DataType.FLOAT16, [6], new Uint8Array(12)));
        const linear = graph!.node.find(({ opType }) => opType === 'DoraLinear')!;
        linear.input = [...linear.input, 'bias'];
      },
      'it adds a bias of another type, float16',
    ],
  ])('%s, in a graph made by hand', async (_, edit, reason) => {
    const layer = { type: 'float32', transW: 0, scaling: 0.5, out: 6, inner: 5, rank: 2 } as const;
    const random = seeded(4);
    const fill = (count: number) => Float64Array.from({ length: count }, random);
    const model = layerModel(layer, { w: toBytes(fill(30), 'float32'), a: fill(10), b: fill(12), m: fill(6) });
    edit(model);
    const path = join(scratch, 'by-hand.onnx');
    writeFileSync(path, encodeModel(model));
    const report = await mergeModel(path, `${path}.merged`);
    expect(report.modules).toMatchObject([{ status: 'skipped', reason }]);
    await using file = await openModel(`${path}.merged`);
    expect(file.model.graph!.node.map(({ opType }) => opType)).toEqual(['DoraScale', 'DoraLinear']);
  });

  it('a convolution whose adapter moves otherwise', async () => {
    const path = join(scratch, 'convolution.onnx');
    await rewriteModel(join(import.meta.dirname, 'fixtures/extract/model.onnx'), path, { target: 'cpu' });
    await using file = await openModel(path);
    const down = file.model.graph!.node.filter(({ opType }) => opType === 'Conv')[1]!;
    const pads = down.attribute.find(({ name }) => name === 'pads')!;
    expect(pads.ints).toEqual([1n, 1n]);
    pads.ints = [0n, 2n];
    writeFileSync(path, encodeModel(file.model));
    const report = await mergeModel(path, `${path}.merged`);
    expect(report.totals).toMatchObject({ merged: 5, skipped: 1 });
    const [skipped] = report.modules.filter(({ status }) => status === 'skipped');
    expect(skipped).toMatchObject({ path: 'conv', reason: "the adapter's kernels do not move as its base's does" });
  });

  it.each<[string, (model: ModelProto) => void, string]>([
    [
      'a base whose result somebody else reads',
      ({ graph }) => {
        const [base = ''] = graph!.node.find(({ opType }) => opType === 'DoraCompose')!.input;
        graph!.node.push(makeNode('Neg', [base], ['negated']));
        graph!.output.push(makeValueInfo('negated', DataType.FLOAT));
      },
      'is also read by Neg',
    ],
    [
      'a base whose result the graph returns',
      ({ graph }) => {
        const [base = ''] = graph!.node.find(({ opType }) => opType === 'DoraCompose')!.input;
        graph!.output.push(makeValueInfo(base, DataType.FLOAT));
      },
      'is also a result of the graph',
    ],
    [
      'another bias than that of the base',
      ({ graph }) => {
        const node = graph!.node.find(({ opType }) => opType === 'DoraCompose')!;
        graph!.initializer.push(makeTensor('other', DataType.FLOAT, [64], new Float32Array(64).fill(0.5)));
        node.input = [...node.input.slice(0, 3), 'other'];
      },
      'the bias that its base holds is not the one that it leaves alone',
    ],
    [
      'an adapter that reads another input',
      ({ graph }) => {
        const producer = (value: string) => graph!.node.find(({ output }) => output[0] === value)!;
        const [, lora = ''] = graph!.node.find(({ opType }) => opType === 'DoraCompose')!.input;
        const down = producer(producer(lora).input[0]!);
        graph!.node.unshift(makeNode('Neg', ['x'], ['elsewhere']));
        down.input = down.input.map((name) => (name === 'x' ? 'elsewhere' : name));
      },
      'the adapter reads "elsewhere", and its base "x"',
    ],
    [
      'a gain that is computed',
      ({ graph }) => {
        const node = graph!.node.find(({ opType }) => opType === 'DoraCompose')!;
        const [, , gain = ''] = node.input;
        graph!.node.unshift(makeNode('Neg', [gain], ['negative']));
        node.input = node.input.map((name) => (name === gain ? 'negative' : name));
      },
      'g "negative" is neither a constant nor computed by DoraScale',
    ],
  ])('%s', async (_, edit, reason) => {
    const path = await edited(edit);
    const output = join(scratch, `${basename(path)}.merged`);
    const report = await mergeModel(path, output);
    expect(report.totals).toMatchObject({ merged: 0, skipped: 1 });
    expect(report.modules[0]).toMatchObject({
      status: 'skipped',
      path: 'q_proj',
      reason: expect.stringContaining(reason),
    });
    const [{ feeds } = { feeds: {} }] = inputSets(compose);
    const [before, after] = [await runModel(path, feeds), await runModel(output, feeds)];
    expect(numbersOf(after.y!)).toEqual(numbersOf(before.y!));
  });
});
