/** A verification must be able to fail: rewritten models with one thing wrong, and the module named that has it. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  DataType,
  decodeModel,
  encodeModel,
  type ModelProto,
  makeNode,
  makeTensor,
  type NodeProto,
} from '@ort-dora/onnx';
import { describeRuntime } from '@ort-dora/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ortDora, samples } from './support/program.js';

const folder = mkdtempSync(join(tmpdir(), 'unequal-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A sample, one of its modules, and how its operator's tensors are stored. */
const cases = [
  { sample: 'c05_linear_bias_dynamo_640', path: 'q_proj', half: false, biased: true },
  { sample: 'c10_fp16base_fp32adapter_dynamo', path: 'q_proj', half: true, biased: true },
  { sample: 'm13_llama_kvcache_dynamo', path: 'model.layers.1.mlp.up_proj', half: false, biased: false },
  {
    sample: 'm10b_smolvlm_dynamo_mixed',
    path: 'model.vision_model.encoder.layers.1.mlp.fc1',
    half: true,
    biased: true,
  },
];

describe.each(cases)('$sample: $path', ({ sample, path, half, biased }) => {
  const original = join(samples, sample, 'model.onnx');
  const rewritten = join(folder, `${sample}.onnx`);
  const page = join(folder, `${sample}.html`);
  let y: string;
  beforeAll(async () => {
    const { stdout } = await ortDora('rewrite', original, rewritten, '--json');
    y = JSON.parse(stdout).modules.find((module: { path: string }) => module.path === path).values.y;
  });

  /** Writes the rewritten model with a change to the module's operator, and verifies that. */
  async function verifyChanged(change: (node: NodeProto, model: ModelProto) => void) {
    const model = decodeModel(new Uint8Array(readFileSync(rewritten)));
    change(model.graph!.node.find(({ output }) => output.includes(y))!, model);
    const changed = join(folder, `${sample}-changed.onnx`);
    writeFileSync(changed, encodeModel(model));
    return ortDora('verify', original, changed, '--html', page);
  }

  /** Gives the operator a changed copy of one of its stored inputs; other readers keep theirs. */
  function changeInput<T extends Float32Array | Uint16Array>(
    node: NodeProto,
    model: ModelProto,
    index: number,
    View: new (buffer: ArrayBuffer) => T,
    edit: (data: T, dims: readonly number[]) => void,
  ): void {
    const stored = model.graph!.initializer.find(({ name }) => name === node.input[index])!;
    const bytes = new Uint8Array(stored.rawData!);
    edit(new View(bytes.buffer), stored.dims.map(Number));
    const name = `${stored.name}.changed`;
    model.graph!.initializer.push({ ...stored, name, rawData: bytes });
    node.input[index] = name;
  }

  function expectNamed({ code, stdout, stderr }: Awaited<ReturnType<typeof ortDora>>): void {
    expect(code).toBe(3);
    expect(stderr.trimEnd().split('\n').at(-1)).toContain(`not equal: module ${path}: `);
    expect(stdout).toMatch(new RegExp(`^${path.replaceAll('.', '\\.')} .*NOT EQUAL$`, 'm'));
  }

  test('unchanged: equal, also on the page', async () => {
    expect((await verifyChanged(() => {})).code).toBe(0);
    const html = readFileSync(page, 'utf8');
    expect(html).toContain('<span class="verdict good">verified</span>');
    expect(html).toContain('<svg class="error-chart"');
    expect(html).toContain('<svg class="graph"');
  });

  test('a gain that is wrong in one place', async () => {
    const { code, stdout, stderr } = await verifyChanged((node, model) =>
      changeInput(node, model, 4, Float32Array, (g) => {
        g[5]! *= 1.02;
      }),
    );
    expectNamed({ code, stdout, stderr });
    const html = readFileSync(page, 'utf8');
    expect(html).toContain('<span class="verdict bad">verification failed</span>');
    expect(html.match(/class="module failed"/g)).toHaveLength(1);
  });

  test('two directions of A that changed places', async () => {
    expectNamed(
      await verifyChanged((node, model) =>
        changeInput(node, model, 2, Float32Array, (a, [rows = 0, columns = 0]) => {
          const transposed = node.attribute.find(({ name }) => name === 'transA')?.i === 1n;
          const length = transposed ? rows : columns;
          const at = (direction: number, i: number) => (transposed ? i * columns + direction : direction * columns + i);
          for (let i = 0; i < length; i++) [a[at(0, i)], a[at(1, i)]] = [a[at(1, i)]!, a[at(0, i)]!];
        }),
      ),
    );
  });

  test('a scaling that is off by a hundredth', async () => {
    expectNamed(
      await verifyChanged((node) => {
        const scaling = node.attribute.find(({ name }) => name === 'scaling')!;
        scaling.f = scaling.f! * 1.01;
      }),
    );
  });

  if (!biased) return;

  test('a bias that is lost', async () => {
    expectNamed(
      await verifyChanged((node, model) => {
        if (half) changeInput(node, model, 5, Uint16Array, (bias) => bias.fill(0));
        else changeInput(node, model, 5, Float32Array, (bias) => bias.fill(0));
      }),
    );
  });
});

const hasAddon = describeRuntime().backend === 'addon';

describe('bfloat16, which no CPU runs as PEFT exports it', () => {
  const original = fileURLToPath(new URL('../../rewriter/test/exports/legacy_bfloat16.onnx', import.meta.url));
  const rewritten = join(folder, 'bfloat16.onnx');

  test('is compared in float32, and the rewritten module in bfloat16 against float64', async () => {
    const { code, stdout } = await ortDora('rewrite', original, rewritten, '--target', 'cpu', '--verify', '--json');
    expect(code).toBe(0);
    const { verification } = JSON.parse(stdout);
    expect(verification.precision).toBe('float32');
    const { ownPrecision } = verification.modules[0];
    // Stock onnxruntime-node has no bfloat16 tensors.
    if (!hasAddon) expect(ownPrecision).toBeNull();
    else expect(ownPrecision).toMatchObject({ type: 'bfloat16', passed: true, executions: verification.executions });
  });

  test('and fails where only its bfloat16 body is wrong', async () => {
    const model = decodeModel(new Uint8Array(readFileSync(rewritten)));
    const body = model.functions.find(({ name }) => name === 'DoraLinear')!;
    const last = body.node.at(-1)!;
    expect(last.opType).toBe('Cast');
    // y + 12 − 12, the sum rounded to bfloat16: in float32 that costs a rounding of y, in bfloat16 nearly all of its digits.
    const [y] = last.input as [string];
    const twelve = makeTensor('', DataType.FLOAT, [], Float32Array.of(12));
    const cast = (input: string, output: string, to: number) =>
      makeNode('Cast', [input], [output], { attributes: { to: { int: to } } });
    body.node.splice(
      -1,
      0,
      makeNode('Constant', [], ['twelve'], { attributes: { value: { tensor: twelve } } }),
      makeNode('Add', [y, 'twelve'], ['sum_12']),
      cast('sum_12', 'narrow_12', DataType.BFLOAT16),
      cast('narrow_12', 'wide_12', DataType.FLOAT),
      makeNode('Sub', ['wide_12', 'twelve'], ['back']),
    );
    last.input = ['back'];
    const changed = join(folder, 'bfloat16-changed.onnx');
    writeFileSync(changed, encodeModel(model));
    const { code, stderr } = await ortDora('verify', original, changed);
    if (hasAddon) expect(stderr).toMatch(/not equal: module q_proj: in bfloat16, error .* exceeds .*three roundings/);
    expect(code).toBe(hasAddon ? 3 : 0);
  });
});
