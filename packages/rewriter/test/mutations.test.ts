/**
 * Random changes to real exports: whatever the rewriter then fuses must compute what the changed original computes.
 * Seeds are fixed, so that a failure is found again.
 */
import { inlineBytes, type ModelProto, type NodeProto } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { Edit } from './support/edits.js';
import { relativeError, seeded } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { rewritten } from './support/rewrite.js';
import { inputSets, sample, sampleModel } from './support/samples.js';
import { numbersOf } from './support/tensors.js';

const SEEDS = Array.from({ length: 60 }, (_, index) => index + 1);

describe.each(['c01b', 'c05', 'c08', 'c18b'])('%s', (of) => {
  it('is refused or right after any change', async () => {
    const { feeds } = inputSets(sample(of))[0]!;
    const outcomes = { invalid: 0, refused: 0, fused: 0 };
    for (const seed of SEEDS) {
      const { model, change } = mutated(sampleModel(sample(of)), seed);
      const { model: result, report } = await rewritten(model);
      const before = await runModel(model, feeds).catch(() => undefined);
      if (before === undefined) {
        outcomes.invalid++;
        continue;
      }
      outcomes[report.totals.fused > 0 ? 'fused' : 'refused']++;
      const after = await runModel(result, feeds);
      for (const [name, tensor] of Object.entries(before)) {
        const error = relativeError(numbersOf(after[name]!), numbersOf(tensor));
        expect(error, `seed ${seed}: ${change}`).toBeLessThan(1e-5);
      }
    }
    // The changes are neither all harmless nor all fatal.
    expect(outcomes.refused).toBeGreaterThan(10);
    expect(outcomes.fused).toBeGreaterThan(3);
  });
});

/** One change of a random kind at a random place. */
function mutated(model: ModelProto, seed: number): { readonly model: ModelProto; readonly change: string } {
  const random = seeded(seed * 7919);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(Math.abs(random() * 1e4)) % items.length]!;
  const edit = new Edit(model);
  const { graph } = model;
  const computing = graph!.node.filter(({ opType }) => opType !== 'Constant' && opType !== 'Identity');
  const node = pick(computing);
  const at = `${node.opType} ${node.output[0]}`;
  switch (pick(['operator', 'operands', 'input', 'byte', 'scale', 'drop'] as const)) {
    case 'operator': {
      const elementwise = computing.filter(({ opType }) => ARITHMETIC.includes(opType!));
      const changed = pick(elementwise);
      // No new divisions: near a zero they make any two correct results differ.
      const opType = pick(ARITHMETIC.filter((other) => other !== changed.opType && other !== 'Div'));
      const change = `${changed.opType} ${changed.output[0]} becomes ${opType}`;
      changed.opType = opType;
      return { model, change };
    }
    case 'operands':
      node.input.reverse();
      return { model, change: `operands of ${at} swapped` };
    case 'input': {
      const index = Math.floor(Math.abs(random() * 10)) % node.input.length;
      const value = pick(valuesBefore(graph!.node, node, model));
      node.input[index] = value;
      return { model, change: `input ${index} of ${at} is ${value}` };
    }
    case 'byte': {
      const index = Math.floor(Math.abs(random() * 10)) % node.input.length;
      const tensor = graph!.initializer.find(({ name }) => name === node.input[index]);
      if (tensor === undefined || tensor.dataType !== 1) return { model, change: 'none' };
      const element = Math.floor(Math.abs(random() * 1e4)) % (inlineBytes(tensor).length / 4);
      node.input[index] = edit.changedCopy(tensor.name!, element * 4 + 2);
      return { model, change: `element ${element} of ${tensor.name} as ${at} reads it` };
    }
    case 'scale': {
      const index = Math.floor(Math.abs(random() * 10)) % node.input.length;
      edit.insert(node.output[0]!, index, pick(['Mul', 'Add']), [edit.scalar('k', 1.125)]);
      return { model, change: `input ${index} of ${at} times or plus 1.125` };
    }
    case 'drop': {
      const reader = pick(graph!.node.filter(({ input }) => input.some((value) => producerOf(graph!.node, value))));
      const index = reader.input.findIndex((value) => producerOf(graph!.node, value));
      const producer = producerOf(graph!.node, reader.input[index]!)!;
      const change = `${reader.output[0]} reads past ${producer.opType} ${producer.output[0]}`;
      reader.input[index] = producer.input[0] ?? reader.input[index]!;
      return { model, change };
    }
  }
}

const ARITHMETIC = ['Add', 'Sub', 'Mul', 'Div'];

function producerOf(nodes: readonly NodeProto[], value: string): NodeProto | undefined {
  return nodes.find(({ output, input }) => output.includes(value) && input.length > 0);
}

/** Values that a node may read: graph inputs, initializers and what earlier nodes compute. */
function valuesBefore(nodes: readonly NodeProto[], node: NodeProto, model: ModelProto): string[] {
  const earlier = nodes.slice(0, nodes.indexOf(node)).flatMap(({ output }) => output);
  const stored = model.graph!.initializer.map(({ name }) => name!);
  return [...model.graph!.input.map(({ name }) => name!), ...stored, ...earlier];
}
