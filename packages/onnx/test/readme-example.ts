import { ModelView, makeNode, openModel, removeDeadNodes, writeModel } from '@ort-dora/onnx';

/** Replaces x·Sigmoid(x) by the runtime's own operator. */
export async function fuseSilu(input: string, output: string): Promise<number> {
  await using file = await openModel(input); // validated; external data stays where it is
  const view = new ModelView(file.model);
  let fused = 0;
  for (const scope of view.scopes()) {
    for (const mul of [...scope.nodes]) {
      if (mul.opType !== 'Mul') continue;
      const [x, gate] = mul.input as [string, string];
      const sigmoid = scope.producer(gate);
      if (sigmoid?.opType !== 'Sigmoid' || sigmoid.input[0] !== x) continue;
      const silu = makeNode('QuickGelu', [x], mul.output, {
        domain: 'com.microsoft',
        attributes: { alpha: { float: 1 } },
      });
      scope.replaceNode(mul, silu);
      fused++;
    }
  }
  if (fused > 0) view.main.importOpset('com.microsoft', 1);
  removeDeadNodes(view); // the Sigmoids that nothing reads any more
  await writeModel(file.model, output); // all else byte for byte as it was
  return fused;
}
