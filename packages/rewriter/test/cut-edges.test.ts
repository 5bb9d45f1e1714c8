/**
 * Every edge of recorded exports cut, one at a time: its reader gets a value that nobody knows anything about. What is
 * then replaced must still read that value, since the original does; most often nothing may be replaced.
 */
import { DataType, type ModelProto, ModelView, makeValueInfo, type NodeProto } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { matchScopes } from '../src/match/model-facts.js';
import { smallConstants } from './support/graph.js';
import { layerModel } from './support/layers.js';
import { exported } from './support/matrix-exports.js';
import { rewritten } from './support/rewrite.js';

const MODELS: readonly (readonly [name: string, model: () => ModelProto])[] = [
  ...[
    'torch2.15.0-peft0.21.2/legacy_square',
    'torch2.15.0-peft0.21.2/legacy_square_folded',
    'torch2.15.0-peft0.21.2/legacy_square_warm',
    'torch2.15.0-peft0.21.2/legacy_square_mixed',
    'torch2.15.0-peft0.21.2/legacy_2d_square',
    'torch2.15.0-peft0.21.2/dynamo_square',
    'torch2.15.0-peft0.21.2/dynamo_square_optimized',
    'torch2.15.0-peft0.21.2/dynamo_norm_pow',
    'torch2.6.0-peft0.14.0/dynamo_square',
    'torch2.6.0-peft0.14.0/dynamo_norm_mul',
    'torch2.4.1-peft0.9.0/legacy_square',
    'torch2.4.1-peft0.9.0/legacy_norm_sum_square',
  ].map((name) => [name, () => exported(name).model()] as const),
  ...[
    'conv2d_legacy_peft0.21',
    'conv2d_legacy_peft0.11',
    'conv2d_dynamo_peft0.21',
    'conv2d_dynamo_unoptimized_peft0.21',
    'embedding_scaled_legacy_peft0.21',
    'embedding_dynamo_peft0.21',
    'conv1d_gpt2_legacy_peft0.21',
    'conv1d_gpt2_dynamo_unoptimized_peft0.21',
  ].map((name) => [name, () => layerModel(name)] as const),
];

const CUT = 'what nobody knows';

describe.each(MODELS)('%s', (_, model) => {
  const original = model();
  const view = new ModelView(original);
  const facts = matchScopes(view, smallConstants).get(view.main)!;
  const types = new Map(
    original.graph!.node.flatMap(({ input }) =>
      input.map((name) => [name, { type: facts.elementType(name), shape: facts.shape(name) }] as const),
    ),
  );

  it.each(['of the same type and shape', 'of any type and shape'])('cut for a value %s', async (what) => {
    const wrong: string[] = [];
    for (const [position, { opType, input }] of original.graph!.node.entries()) {
      for (const [index, name] of input.entries()) {
        if (name === '') continue;
        const changed = model();
        const { type = DataType.FLOAT, shape } = types.get(name)!;
        const dims = shape?.map((size, axis) => size ?? `axis ${axis}`);
        changed.graph!.node[position]!.input[index] = CUT;
        changed.graph!.input.push(
          what === 'of any type and shape' ? { name: CUT, metadataProps: [] } : makeValueInfo(CUT, type, dims),
        );
        const { model: result, report } = await rewritten(changed);
        if (isOfShapes(opType, type)) continue;
        if (report.totals.fused > 0 && !reads(result, CUT)) wrong.push(`input ${index} of ${opType}: ${name}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

/** Whether nothing but shapes goes over an edge; most can only be what they are where the model runs at all. */
function isOfShapes(reader: string | undefined, type: number): boolean {
  return type === DataType.INT64 || reader === 'Shape' || reader === 'EyeLike';
}

/** Whether an output of a model depends on a value. */
function reads({ graph }: ModelProto, value: string): boolean {
  const producers = new Map<string, NodeProto>();
  for (const node of graph!.node) for (const output of node.output) producers.set(output, node);
  const pending = graph!.output.map(({ name = '' }) => name);
  const seen = new Set<string>();
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === value) return true;
    if (seen.has(name)) continue;
    seen.add(name);
    pending.push(...(producers.get(name)?.input ?? []));
  }
  return false;
}
