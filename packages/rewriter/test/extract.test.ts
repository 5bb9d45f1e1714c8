// Adapters written back from models: A and B bit for bit, m within two units in the last place, the config as attached.
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AdapterModule, type AdapterTensor, openAdapter } from '@ort-dora/adapters';
import { decodeModel, encodeModel, makeValueInfo } from '@ort-dora/onnx';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attachAdapter, attachBank, extractAdapter, rewriteModel } from '../src/index.js';
import { toFloat64 } from '../src/tensors/elements.js';
import { sample } from './support/samples.js';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ort-dora-extract-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let folders = 0;
const fresh = () => join(scratch, String(folders++));

/** Units in the last place between two magnitudes at most; a value may be stored in a wider type than the original. */
async function ulps(found: AdapterTensor, original: AdapterTensor): Promise<number> {
  const step = { float32: 2 ** -23, float16: 2 ** -10, bfloat16: 2 ** -7 }[original.type];
  const [ours, theirs] = [toFloat64(await found.read(), found.type), toFloat64(await original.read(), original.type)];
  return ours.reduce((worst, value, index) => {
    const wanted = theirs[index]!;
    const unit = 2 ** Math.floor(Math.log2(Math.abs(wanted))) * step;
    return Math.max(worst, Math.abs(value - wanted) / unit);
  }, 0);
}

async function expectSameModule(found: AdapterModule, original: AdapterModule): Promise<void> {
  for (const part of ['loraA', 'loraB'] as const) {
    const [ours, theirs] = [found[part], original[part]];
    expect(ours.dims).toEqual(theirs.dims);
    if (ours.type === theirs.type) expect(Buffer.compare(await ours.read(), await theirs.read())).toBe(0);
    else expect(toFloat64(await ours.read(), ours.type)).toEqual(toFloat64(await theirs.read(), theirs.type));
  }
  expect(found.kind).toBe(original.kind);
  expect(found.scaling).toBeCloseTo(original.scaling, 6);
  expect(found.magnitude === undefined).toBe(original.magnitude === undefined);
  if (found.magnitude === undefined || original.magnitude === undefined) return;
  expect(found.magnitude.dims).toEqual(original.magnitude.dims);
  expect(await ulps(found.magnitude, original.magnitude)).toBeLessThanOrEqual(2);
}

async function expectSameAdapter(folder: string, original: string): Promise<void> {
  await using found = await openAdapter(folder);
  await using wanted = await openAdapter(original);
  expect([...found.modules.keys()]).toEqual([...wanted.modules.keys()]);
  for (const [path, module] of found.modules) await expectSameModule(module, wanted.modules.get(path)!);
}

describe('what was attached', () => {
  const root = join(import.meta.dirname, 'fixtures/attach');
  const cases = readdirSync(root)
    .map((file) => /^(.*)\+(.*)\.npz$/.exec(file))
    .filter((match) => match !== null)
    .map(([, base, adapter]) => [base!, adapter!] as const);

  // Every base once, and one of each kind with the base layer left visible.
  const composed = ['dynamo', 'legacy_float16', 'dynamo_nbits8', 'dynamo_conv1d'];
  const forms = (base: string) => (composed.includes(base) ? (['linear', 'compose'] as const) : (['linear'] as const));

  it.each(cases.flatMap(([base, adapter]) => forms(base).map((form) => [base, adapter, form] as const)))(
    '%s + %s, form %s',
    async (base, name, form) => {
      const original = join(root, 'adapters', name);
      const folder = fresh();
      const output = `${folder}.onnx`;
      await using adapter = await openAdapter(original);
      await attachAdapter([{ input: join(root, 'bases', `${base}.onnx`), output }], adapter, { form, target: 'cpu' });
      const report = await extractAdapter([output], folder);
      expect(report.config).toBe('attached');
      await expectSameAdapter(folder, original);
      const text = (place: string) => readFileSync(join(place, 'adapter_config.json'), 'utf8');
      expect(text(folder)).toBe(text(original));
    },
  );
});

describe('what was exported', () => {
  const demo = join(import.meta.dirname, '../../../models/fixtures/demo');

  it.each([
    ['export', 'stored', 0],
    ['linear', 'recomputed', 2],
    ['compose', 'recomputed', 2],
  ] as const)('the demo’s adapter, from its %s form', async (form, magnitude, most) => {
    let model = join(demo, 'onnx/decoder_model_merged_reading.onnx');
    if (form !== 'export') {
      const output = join(fresh(), 'model.onnx');
      await rewriteModel(model, output, { form });
      model = output;
    }
    const folder = fresh();
    const report = await extractAdapter([model], folder);
    expect(report).toMatchObject({ config: 'reconstructed', useDora: true, adapter: 'default' });
    expect(report.modules).toHaveLength(14);
    expect(new Set(report.modules.map((module) => module.magnitude))).toEqual(new Set([magnitude]));
    const original = join(demo, 'adapters/reading');
    await expectSameAdapter(folder, original);
    await using found = await openAdapter(folder);
    await using wanted = await openAdapter(original);
    for (const [path, module] of found.modules) {
      expect(await ulps(module.magnitude!, wanted.modules.get(path)!.magnitude!)).toBeLessThanOrEqual(most);
    }
    expect(found.warnings).toEqual([]);
  });

  it.each(['c01b', 'c05', 'c14b', 'm13'])(
    'sample %s, its adapter as inputs of the graph with default values',
    async (name) => {
      const { path } = sample(name);
      const [plain, folder] = [fresh(), fresh()];
      await extractAdapter([path], plain);
      const model = decodeModel(new Uint8Array(readFileSync(path)));
      const graph = model.graph!;
      const adapters = graph.initializer.filter((tensor) => tensor.name!.includes('.lora_'));
      for (const { name: input, dataType, dims } of adapters) {
        graph.input.push(makeValueInfo(input!, dataType!, dims.map(Number)));
      }
      const input = `${folder}.onnx`;
      writeFileSync(input, encodeModel(model));
      const report = await extractAdapter([input], folder);
      const taken = report.modules.flatMap(({ defaults }) => defaults);
      expect(taken.length).toBeGreaterThan(0);
      expect(taken.every((each) => adapters.some((tensor) => tensor.name === each))).toBe(true);
      await expectSameAdapter(folder, plain);
    },
  );

  it.each(['c01b', 'c05', 'c08', 'c10', 'c14b', 'm10b', 'm13'])('sample %s', async (name) => {
    const { path, meta } = sample(name);
    const folder = fresh();
    await extractAdapter([path], folder);
    await using adapter = await openAdapter(folder);
    const found = [...adapter.modules.values()].map(({ path, rank, scaling }) => [path, rank, Math.fround(scaling)]);
    const wanted = meta.dora_modules!.map(({ module, r, scaling }) => [module, r, Math.fround(scaling)]);
    expect(found.sort()).toEqual(wanted.sort());
    expect(adapter.warnings).toEqual([]);
  });

  it('one of two adapters on one layer, named', async () => {
    const { path, meta } = sample('c18b');
    await expect(extractAdapter([path], fresh())).rejects.toMatchObject({
      code: 'extract',
      message: expect.stringMatching(/the model has the adapters .*, .*: name one of them/),
    });
    for (const { adapter, r } of meta.dora_modules!) {
      const folder = fresh();
      const report = await extractAdapter([path], folder, { adapter });
      expect(report.modules.map(({ rank }) => rank)).toEqual([r]);
    }
    await expect(extractAdapter([path], fresh(), { adapter: 'third' })).rejects.toThrow("no adapter 'third', only");
  });
});

describe('what PEFT has loaded, with the results of the model', () => {
  const fixture = join(import.meta.dirname, 'fixtures/extract');
  const checked = JSON.parse(readFileSync(join(fixture, 'checked.json'), 'utf8'));

  it('is what is extracted, byte for byte', async () => {
    expect(checked.errorOfExtractedFromExport).toBe(0);
    const folder = fresh();
    await extractAdapter([join(fixture, 'model.onnx')], folder);
    for (const [file, digest] of Object.entries(checked.sha256)) {
      expect(
        createHash('sha256')
          .update(readFileSync(join(folder, file)))
          .digest('hex'),
        file,
      ).toBe(digest);
    }
  });

  it('and m alone is another, in the last places, from the rewritten model', async () => {
    expect(checked.errorOfExtractedFromRewritten).toBeLessThan(4e-7);
    const [exported, rewritten] = [fresh(), fresh()];
    await extractAdapter([join(fixture, 'model.onnx')], exported);
    await rewriteModel(join(fixture, 'model.onnx'), `${rewritten}.onnx`);
    await extractAdapter([`${rewritten}.onnx`], rewritten);
    await expectSameAdapter(rewritten, exported);
  });
});

describe('what cannot be extracted', () => {
  it('a model without an adapter', async () => {
    const { path } = sample('t1');
    const folder = fresh();
    await expect(extractAdapter([path], folder)).rejects.toMatchObject({ code: 'extract' });
    expect(readdirSync(scratch)).not.toContain(folder);
  });

  it('a bank, whose adapters are not in the model', async () => {
    const base = join(import.meta.dirname, 'fixtures/attach/bases/dynamo.onnx');
    const output = `${fresh()}.onnx`;
    await attachBank([{ input: base, output }], { slots: 2, maxRank: 4 });
    await expect(extractAdapter([output], fresh())).rejects.toThrow(
      /it is a DoraLinearBank, whose adapters are not in/,
    );
  });

  it('a folder that is taken', async () => {
    const folder = fresh();
    const { path } = sample('c05');
    await extractAdapter([path], folder);
    const before = readFileSync(join(folder, 'adapter_model.safetensors'));
    await expect(extractAdapter([path], folder)).rejects.toMatchObject({ name: 'AdapterError', code: 'exists' });
    expect(readFileSync(join(folder, 'adapter_model.safetensors')).equals(before)).toBe(true);
  });
});
