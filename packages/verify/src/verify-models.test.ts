import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  DataType,
  decodeModel,
  encodeModel,
  type ModelProto,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  type NodeProto,
  setExternalLocation,
  type TensorProto,
  type ValueInfoProto,
} from '@ort-dora/onnx';
import { zipSync } from 'fflate';
import { afterAll, expect, test } from 'vitest';
import { branchModel } from '../test/branch-model.js';
import type { ModuleDescription } from './module-description.js';
import type { VerificationResult } from './result.js';
import { type VerifyOptions, verifyModels } from './verify-models.js';

const samples = new URL('../../../models/fixtures/samples/', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'verify-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sample = 'c10_fp16base_fp32adapter_dynamo';
const original = `${samples}${sample}/model.onnx`;
const prefix = 'm.base_model.model.q_proj';
const loraA = `${prefix}.lora_A.default.weight`;
const magnitude = `${prefix}.lora_magnitude_vector.default.weight`;
const bias = `${prefix}.base_layer.bias`;
const scaling = 'val_12';

/** The module of the sample, as a rewrite would report it. */
const module: ModuleDescription = {
  path: 'q_proj',
  kind: 'linear',
  adapter: 'default',
  scope: '',
  rank: 16,
  scaling: 1.25,
  dtypes: { weight: 'float16', adapter: 'float32' },
  layouts: { transW: 0, transA: 0, transB: 0 },
  form: { base: 'MatMul+Add' },
  values: {
    x: 'x',
    y: 'y',
    base: 'linear',
    weight: `${prefix}.base_layer.weight`,
    loraA,
    loraB: `${prefix}.lora_B.default.weight`,
    magnitude,
    bias,
    gain: 'g',
  },
};

let files = 0;
function write(model: ModelProto): string {
  const path = join(folder, `${files++}.onnx`);
  writeFileSync(path, encodeModel(model));
  return path;
}

/** The sample with a change to it. */
function changed(edit: (tensor: (name: string) => TensorProto, model: ModelProto) => void): string {
  const model = decodeModel(new Uint8Array(readFileSync(original)));
  edit((name) => model.graph!.initializer.find((tensor) => tensor.name === name)!, model);
  return write(model);
}

/** Changes the stored numbers of a tensor through a view of its own bytes. */
function rewrite<T extends Float32Array | Uint16Array>(
  tensor: TensorProto,
  View: new (buffer: ArrayBuffer) => T,
  edit: (data: T) => void,
): void {
  const bytes = new Uint8Array(tensor.rawData!);
  edit(new View(bytes.buffer));
  tensor.rawData = bytes;
}

const verify = (rewritten: string, options: VerifyOptions = {}) =>
  verifyModels(original, rewritten, { modules: [module], ...options });

function expectFailure(result: VerificationResult): void {
  expect(result.passed).toBe(false);
  expect(result.summary).toMatch(/^not equal: module q_proj: .*exceeds/);
  expect(result.modules[0]).toMatchObject({ path: 'q_proj', passed: false });
}

test('a model equals itself, module and outputs, at several sizes', async () => {
  const result = await verify(original);
  expect(result.passed).toBe(true);
  expect(result.modules).toMatchObject([{ path: 'q_proj', type: 'float16', rows: 59, ratio: 1, passed: true }]);
  expect(result.modules[0]!.errorOriginal).toBeLessThan(2 ** -10);
  expect(result.runs.map(({ inputs }) => inputs.x)).toEqual([
    [2, 5, 640],
    [1, 1, 640],
    [3, 16, 640],
  ]);
  expect(result.outputs).toMatchObject([{ name: 'y', type: 'float16', maxAbs: 0, passed: true }]);
  expect(JSON.parse(JSON.stringify(result))).toEqual(result);
});

test('the same seed gives the same figures, another seed others', async () => {
  const [first, second, other] = [await verify(original), await verify(original), await verify(original, { seed: 1 })];
  expect(first).toEqual(second);
  expect(other.modules[0]!.errorOriginal).not.toBe(first.modules[0]!.errorOriginal);
});

test('a magnitude that is wrong in one place fails its module', async () => {
  expectFailure(
    await verify(
      changed((tensor) =>
        rewrite(tensor(magnitude), Float32Array, (m) => {
          m[7]! *= 1.01;
        }),
      ),
    ),
  );
});

test('two rows of A that changed places fail the module', async () => {
  const swapped = changed((tensor) =>
    rewrite(tensor(loraA), Float32Array, (a) => {
      const first = a.slice(0, 640);
      a.copyWithin(0, 640, 1280);
      a.set(first, 640);
    }),
  );
  expectFailure(await verify(swapped));
});

test('a scaling that is off by a hundredth fails the module', async () => {
  expectFailure(
    await verify(
      changed((tensor) =>
        rewrite(tensor(scaling), Float32Array, (s) => {
          s[0]! *= 1.01;
        }),
      ),
    ),
  );
});

test('a bias that is lost fails the module', async () => {
  expectFailure(
    await verify(
      changed((tensor) =>
        rewrite(tensor(bias), Uint16Array, (b) => {
          b.fill(0);
        }),
      ),
    ),
  );
});

test('a module that was taken for another fails, though the rewrite does what it was told', async () => {
  const mistaken = { ...module, scaling: 1.25 * 1.01 };
  const told = changed((tensor) =>
    rewrite(tensor(scaling), Float32Array, (s) => {
      s[0] = mistaken.scaling;
    }),
  );
  const result = await verify(told, { modules: [mistaken] });
  expect(result.modules[0]).toMatchObject({ passed: false });
  expect(result.modules[0]!.reason).toContain('not what the rewrite took it for');
});

test('NaN where the original has none fails', async () => {
  const result = await verify(
    changed((tensor) =>
      rewrite(tensor(magnitude), Float32Array, (m) => {
        m[3] = Number.NaN;
      }),
    ),
  );
  expect(result.passed).toBe(false);
  expect(result.modules[0]!.reason).toContain('NaN or infinite');
});

test('without modules, whole outputs are judged; a tolerance replaces the rule', async () => {
  const off = changed((tensor) =>
    rewrite(tensor(magnitude), Float32Array, (m) => {
      m[7]! *= 1.01;
    }),
  );
  const strict = await verify(off, { modules: [] });
  expect(strict.passed).toBe(false);
  expect(strict.summary).toMatch(/^not equal: output y: on stock ONNX Runtime: distance from float32/);
  expect((await verify(off, { modules: [], tolerance: 0.02 })).passed).toBe(true);
});

test('a module with base output that is computed elsewhere, and values that are not there', async () => {
  const nowhere = { ...module, path: 'gone', values: { ...module.values, y: 'nowhere' } };
  const noWeight = { ...module, path: 'quantized', values: { ...module.values, weight: null } };
  const result = await verify(original, { modules: [nowhere, noWeight, module] });
  expect(result.modules.map(({ path }) => path)).toEqual(['q_proj']);
  expect(result.unchecked.map(({ path, reason }) => `${path}: ${reason}`)).toEqual([
    'quantized: its W is not in the file as one value',
    'gone: nowhere is not computed in the main graph',
  ]);
});

test('a module inside a branch that cannot be taken out is said to be judged with the whole only', async () => {
  const path = write(branchModel());
  const inside = {
    ...module,
    path: 'inside',
    scope: 'If.then_branch',
    values: {
      ...module.values,
      x: 'h',
      y: 'inner',
      magnitude: 'one',
      gain: 'one',
      weight: 'h',
      loraA: 'one',
      loraB: 'one',
      bias: null,
    },
  };
  const result = await verifyModels(path, path, { modules: [inside] });
  expect(result.passed).toBe(true);
  expect(result.unchecked).toMatchObject([
    { path: 'inside', reason: 'its h is not stored, but computed or given, in If.then_branch' },
  ]);
});

test('bfloat16, which the CPU cannot run, is compared in float32 and says so', async () => {
  const path = write(branchModel(DataType.BFLOAT16));
  const result = await verifyModels(path, path);
  expect(result).toMatchObject({ passed: true, precision: 'float32' });
  expect(result.notes[0]).toContain('compared in float32');
});

test('given inputs are used, and must fit', async () => {
  const npz = `${samples}${sample}/inputs_2.npz`;
  const result = await verify(original, { inputs: npz });
  expect(result.runs).toHaveLength(1);
  await expect(verify(original, { inputs: `${samples}m10b_smolvlm_dynamo_mixed/inputs.npz` })).rejects.toThrow(
    /inputs\.npz has no array "x"; it has "pixel_values", "input_ids"/,
  );
  const empty = join(folder, 'empty.npz');
  writeFileSync(empty, zipSync({}));
  await expect(verify(original, { inputs: empty })).rejects.toThrow('has no array "x"; it has none');
});

test('a KV cache whose heads and their width are symbols is told from the graph, and rows of a batch are padded', async () => {
  const model = decodeModel(new Uint8Array(readFileSync(`${samples}m13_llama_kvcache_dynamo/model.onnx`)));
  const graph = model.graph!;
  const open = ({ type }: ValueInfoProto) => {
    const { dim } = type!.tensorType!.shape!;
    dim[1] = { ...dim[1]!, dimValue: undefined, dimParam: 'kv_heads' };
    dim[3] = { ...dim[3]!, dimValue: undefined, dimParam: 'kv_cache_dim' };
  };
  const isCache = ({ type }: ValueInfoProto) => type?.tensorType?.shape?.dim.length === 4;
  for (const info of [...graph.input, ...graph.output].filter(isCache)) open(info);
  const path = write({ ...model, graph: { ...graph, valueInfo: [] } });
  const result = await verifyModels(path, path);
  expect(result.passed).toBe(true);
  const [first] = result.runs;
  expect(first).toMatchObject({ skipped: null, leftPadding: [0, 2] });
  expect(first!.inputs['past_key_values.0.key']).toEqual([2, 2, 3, 24]);
});

/** y = past + bias, whose shape says what the cache's symbols do not. */
function unnamedCache(...nodes: readonly NodeProto[]): string {
  return write(
    makeModel(
      makeGraph('cache', {
        nodes: [makeNode('Add', ['past_key_values.0.key', 'bias'], ['sum']), ...nodes],
        inputs: [
          makeValueInfo('past_key_values.0.key', DataType.FLOAT, ['b', 'kv_heads', 'p', 'kv_cache_dim']),
          makeValueInfo('attention_mask', DataType.FLOAT, ['b', 't']),
        ],
        outputs: [makeValueInfo('y', DataType.FLOAT)],
        initializers: [
          makeTensor(
            'bias',
            DataType.FLOAT,
            [1, 5, 1, 6],
            Float32Array.from({ length: 30 }, (_, i) => i),
          ),
        ],
      }),
      { opsets: { '': 17 } },
    ),
  );
}

test('sizes that nothing tells are asked for by name, and taken', async () => {
  const path = unnamedCache(makeNode('Identity', ['sum'], ['y']));
  await expect(verifyModels(path, path)).rejects.toThrow(
    'nothing tells the size of kv_heads, kv_cache_dim: give it (--dim kv_heads=SIZE), or inputs in a .npz file',
  );
  const dims = new Map([
    ['kv_heads', 5],
    ['kv_cache_dim', 6],
  ]);
  const result = await verifyModels(path, path, { dims });
  expect(result.runs[0]!.inputs['past_key_values.0.key']).toEqual([2, 5, 3, 6]);
});

test('where padding makes the original compute NaN, it is left out, and said so', async () => {
  const path = unnamedCache(
    makeNode('ReduceMin', ['attention_mask'], ['least'], { attributes: { keepdims: { int: 0 } } }),
    makeNode('Log', ['least'], ['log']),
    makeNode('Sub', ['log', 'log'], ['nothing']),
    makeNode('Add', ['sum', 'nothing'], ['y']),
  );
  const dims = new Map([
    ['kv_heads', 5],
    ['kv_cache_dim', 6],
  ]);
  const { runs, passed } = await verifyModels(path, path, { dims });
  expect(passed).toBe(true);
  expect(runs[0]).toMatchObject({ leftPadding: [0, 2], skipped: 'with padding, the original computes NaN' });
  expect(runs[1]).toMatchObject({ inputs: runs[0]!.inputs, leftPadding: [], skipped: null });
});

test('weights in external data are found, by the edited copies too', async () => {
  const external = mkdtempSync(join(folder, 'external-'));
  const model = decodeModel(new Uint8Array(readFileSync(original)));
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of model.graph!.initializer.filter(({ rawData }) => rawData && rawData.length > 1000)) {
    const data = tensor.rawData!;
    setExternalLocation(tensor, { location: 'weights.bin', offset, length: data.length });
    chunks.push(data);
    offset += data.length;
  }
  writeFileSync(join(external, 'weights.bin'), Buffer.concat(chunks));
  const path = join(external, 'model.onnx');
  writeFileSync(path, encodeModel(model));
  const result = await verify(path);
  expect(chunks.length).toBeGreaterThan(2);
  expect(result).toMatchObject({ passed: true, unchecked: [], modules: [{ passed: true }] });
  expect((await verifyModels(path, original, { modules: [module] })).passed).toBe(true);
});

test('models with other inputs or outputs are not compared', async () => {
  await expect(verifyModels(original, `${samples}t1_plain_lora_dynamo/model.onnx`)).rejects.toThrow(
    /input "x" is float16 in .* and float32 in .*; only models with the same inputs and outputs/,
  );
});

test('a rewritten model that does not run is no equal', async () => {
  const broken = changed((_, model) => {
    model.graph!.node.find(({ opType }) => opType === 'Div')!.opType = 'NoSuchOperator';
  });
  const result = await verify(broken);
  expect(result.passed).toBe(false);
  expect(result.outputs[0]!.reason).toContain('cannot be loaded');
});

test('an aborted verification stops', async () => {
  await expect(verify(original, { signal: AbortSignal.abort() })).rejects.toThrow();
});
