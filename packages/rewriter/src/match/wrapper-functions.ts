/** Model-local functions that only name a standard operator, as torch.onnx before 2.7 writes some of its own. */
import type { FunctionProto, ModelView, NodeProto } from '@ort-dora/onnx';
import { isStandard } from './trace.js';

/**
 * The node that a call of a function stands for, where the function's body is one standard operator over the function's
 * own inputs, under the opset of the caller; undefined for all other nodes.
 *
 * The node is a description: it is in no graph, so nothing that would remove or replace it finds it.
 */
export function unwrapCall(view: ModelView, node: NodeProto, opset: number | undefined): NodeProto | undefined {
  const called = isStandard(node) ? undefined : view.functionOf(node);
  if (called?.node.length !== 1) return undefined;
  const body = called.node[0]!;
  if (!isStandard(body) || !hasFixedMeaning(called, body) || standardVersion(called) !== opset) return undefined;
  const argument = new Map(called.input.map((name, index) => [name, node.input[index] ?? '']));
  const passes = body.input.every((name) => name === '' || argument.has(name));
  const [result, ...more] = body.output;
  if (!passes || more.length > 0 || called.output.join() !== result) return undefined;
  return {
    ...body,
    name: node.name,
    input: body.input.map((name) => argument.get(name) ?? ''),
    output: [node.output[0] ?? ''],
  };
}

/** No attribute of the body is the caller's to choose, and there is no graph in it. */
function hasFixedMeaning({ attribute, attributeProto }: FunctionProto, body: NodeProto): boolean {
  const isFixed = body.attribute.every(
    ({ refAttrName, g, graphs }) => !refAttrName && g === undefined && graphs.length === 0,
  );
  return isFixed && attribute.length === 0 && attributeProto.length === 0;
}

function standardVersion({ opsetImport }: FunctionProto): number | undefined {
  const standard = opsetImport.find(({ domain }) => domain === undefined || domain === '' || domain === 'ai.onnx');
  return standard === undefined ? undefined : Number(standard.version ?? 0n);
}
