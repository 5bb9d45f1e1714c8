import { link, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  decodeModel,
  encodeModel,
  externalTensors,
  inlineBytes,
  isExternal,
  setExternalLocation,
  visitTensors,
} from '@ort-dora/onnx';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inspectModel, type NormCompute, rewriteModel } from '../src/index.js';
import { expectSameBytes } from './support/bytes.js';
import { runModel } from './support/ort.js';
import { CORRUPT_SAMPLES, inputSets, sample, sampleBytes, sampleModel } from './support/samples.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ort-dora-'));
});
afterEach(() => rm(folder, { recursive: true }));

const SAMPLE = sample('c01b');

describe('rewriteModel', () => {
  it('writes the same bytes every time, and none into the input', async () => {
    const before = sampleBytes(SAMPLE);
    const { report } = await rewriteModel(SAMPLE.path, join(folder, 'a.onnx'));
    await rewriteModel(SAMPLE.path, join(folder, 'b.onnx'));
    expect(report.totals.fused).toBe(1);
    expectSameBytes(await readFile(join(folder, 'a.onnx')), await readFile(join(folder, 'b.onnx')));
    expectSameBytes(sampleBytes(SAMPLE), before);
    expect(await readdir(folder)).toEqual(['a.onnx', 'b.onnx']);
  });

  it('says that a rewritten model has nothing to fuse, and writes it as it is', async () => {
    await rewriteModel(SAMPLE.path, join(folder, 'a.onnx'));
    const { report } = await rewriteModel(join(folder, 'a.onnx'), join(folder, 'b.onnx'));
    expect(report.totals).toMatchObject({ fused: 0, already: 1 });
    expect(report.modules[0]).toMatchObject({ status: 'already', path: 'q_proj', adapter: 'default', scaling: 0.5 });
    expectSameBytes(await readFile(join(folder, 'b.onnx')), await readFile(join(folder, 'a.onnx')));
  });

  it('inspects to the report of a rewrite, without writing', async () => {
    const { report } = await rewriteModel(SAMPLE.path, join(folder, 'a.onnx'));
    const inspected = await inspectModel(SAMPLE.path);
    expect({ ...inspected, mode: 'rewrite' }).toEqual(report);
  });

  it.each(['', 'link', 'symlink'])('refuses to write onto the input %s', async (kind) => {
    const input = join(folder, 'model.onnx');
    await writeFile(input, sampleBytes(SAMPLE));
    const output = kind === '' ? input : join(folder, 'other.onnx');
    if (kind === 'link') await link(input, output);
    if (kind === 'symlink') await symlink(input, output);
    await expect(rewriteModel(input, output)).rejects.toMatchObject({ code: 'same-file' });
    expectSameBytes(await readFile(input), sampleBytes(SAMPLE));
  });

  it.each(CORRUPT_SAMPLES)('refuses $name and leaves nothing', async ({ path }) => {
    await expect(rewriteModel(path, join(folder, 'out.onnx'))).rejects.toMatchObject({ name: 'OnnxError' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('leaves nothing when it is aborted or the norm fails', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const compute: NormCompute = async function* () {
      controller.abort(reason);
      yield new Float32Array(32);
    };
    const aborted = rewriteModel(SAMPLE.path, join(folder, 'a.onnx'), { compute, signal: controller.signal });
    await expect(aborted).rejects.toBe(reason);
    const failed = rewriteModel(SAMPLE.path, join(folder, 'a.onnx'), { compute: tooShort });
    await expect(failed).rejects.toMatchObject({ code: 'norm' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('keeps what was at the output when it fails', async () => {
    await writeFile(join(folder, 'a.onnx'), 'before');
    const failed = rewriteModel(SAMPLE.path, join(folder, 'a.onnx'), { compute: tooShort });
    await expect(failed).rejects.toMatchObject({ code: 'norm' });
    expect(await readFile(join(folder, 'a.onnx'), 'utf8')).toBe('before');
  });

  it('refuses --scale stored where g depends on a graph input', async () => {
    const model = sampleModel(SAMPLE);
    const graph = model.graph!;
    const magnitude = graph.initializer.find(({ name }) => name?.includes('magnitude'))!;
    graph.initializer.splice(graph.initializer.indexOf(magnitude), 1);
    graph.input.push({
      name: magnitude.name,
      type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 32n }] } } },
      metadataProps: [],
    });
    const input = join(folder, 'in.onnx');
    await writeFile(input, encodeModel(model));
    await expect(rewriteModel(input, join(folder, 'a.onnx'), { scale: 'stored' })).rejects.toMatchObject({
      code: 'scale',
    });
    const { report } = await rewriteModel(input, join(folder, 'a.onnx'));
    expect(report.modules[0]).toMatchObject({ status: 'fused', scale: 'runtime' });
  });

  it('reports progress', async () => {
    const stages: string[] = [];
    await rewriteModel(SAMPLE.path, join(folder, 'a.onnx'), { onProgress: ({ stage }) => stages.push(stage) });
    expect(stages).toEqual(['search', 'fuse', 'norm', 'norm', 'write']);
  });
});

const tooShort: NormCompute = async function* () {
  yield new Float32Array(3);
};

describe('external data', () => {
  /** The sample with every tensor, scalars too, in `location`. */
  async function externalized(input: string, location: string): Promise<void> {
    const model = sampleModel(SAMPLE);
    const parts: Uint8Array[] = [];
    let offset = 0;
    visitTensors(model, (tensor) => {
      const bytes = inlineBytes(tensor);
      parts.push(bytes);
      setExternalLocation(tensor, { location, offset, length: bytes.length });
      offset += bytes.length;
    });
    await mkdir(dirname(join(dirname(input), location)), { recursive: true });
    await writeFile(join(dirname(input), location), Buffer.concat(parts));
    await writeFile(input, encodeModel(model));
  }

  async function check(path: string): Promise<void> {
    const { feeds } = inputSets(SAMPLE)[0]!;
    const expected = await runModel(SAMPLE.path, feeds);
    const actual = await runModel(path, feeds);
    const reference = expected.y!.data as Float32Array;
    (actual.y!.data as Float32Array).forEach((value, index) => {
      expect(Math.abs(value - reference[index]!)).toBeLessThan(1e-5);
    });
  }

  it('is referenced in place from the same folder', async () => {
    await externalized(join(folder, 'in.onnx'), 'weights.bin');
    const { report } = await rewriteModel(join(folder, 'in.onnx'), join(folder, 'out.onnx'));
    expect(report.totals.fused).toBe(1);
    expect(await readdir(folder)).toEqual(['in.onnx', 'out.onnx', 'weights.bin']);
    await check(join(folder, 'out.onnx'));
  });

  it('is linked into another folder, twice if asked twice', async () => {
    await mkdir(join(folder, 'in'));
    await externalized(join(folder, 'in/in.onnx'), 'data/weights.bin');
    await rewriteModel(join(folder, 'in/in.onnx'), join(folder, 'out/out.onnx'));
    await rewriteModel(join(folder, 'in/in.onnx'), join(folder, 'out/out.onnx'));
    const [source, target] = await Promise.all(
      ['in', 'out'].map((part) => stat(join(folder, part, 'data/weights.bin'))),
    );
    expect(target!.ino).toBe(source!.ino);
    await check(join(folder, 'out/out.onnx'));
  });

  it('never replaces another file', async () => {
    await mkdir(join(folder, 'out'));
    await writeFile(join(folder, 'out/weights.bin'), 'mine');
    await externalized(join(folder, 'in.onnx'), 'weights.bin');
    const refused = rewriteModel(join(folder, 'in.onnx'), join(folder, 'out/out.onnx'));
    await expect(refused).rejects.toMatchObject({ code: 'exists' });
    expect(await readdir(join(folder, 'out'))).toEqual(['weights.bin']);
    expect(await readFile(join(folder, 'out/weights.bin'), 'utf8')).toBe('mine');
  });

  it.each(['in.onnx_data', 'out.onnx_data'])('is compacted from %s to what is used', async (location) => {
    await externalized(join(folder, 'in.onnx'), location);
    await rewriteModel(join(folder, 'in.onnx'), join(folder, 'out.onnx'), { compact: true });
    const model = decodeModel(await readFile(join(folder, 'out.onnx')));
    const places = externalTensors(model).map(({ place }) => place);
    const name = location === 'out.onnx_data' ? 'out.onnx_data_1' : 'out.onnx_data';
    expect(new Set(places.map((place) => place.location))).toEqual(new Set([name]));
    const used = (640 * 32 + 640 * 16 + 16 * 32 + 32) * 4;
    const { size } = await stat(join(folder, name));
    expect(size).toBeGreaterThanOrEqual(used);
    // W is stored once: the second copy alone has 81920 bytes.
    expect(size).toBeLessThan(used + 5 * 4096);
    await check(join(folder, 'out.onnx'));
  });

  it('is not read where no module needs it', async () => {
    const model = sampleModel(sample('t1_plain'));
    visitTensors(model, (tensor) => {
      if (!isExternal(tensor) && tensor.dims.length === 2) {
        const { length } = inlineBytes(tensor);
        setExternalLocation(tensor, { location: 'zeros.bin', offset: 0, length });
      }
    });
    await writeFile(join(folder, 'in.onnx'), encodeModel(model));
    await writeFile(join(folder, 'zeros.bin'), new Uint8Array(640 * 32 * 4));
    await rewriteModel(join(folder, 'in.onnx'), join(folder, 'out.onnx'));
    expectSameBytes(await readFile(join(folder, 'out.onnx')), await readFile(join(folder, 'in.onnx')));
  });
});
