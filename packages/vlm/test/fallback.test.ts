// The same answers where the native addon cannot be used.
import { expect, it } from 'vitest';
import { conversation, type GenerationCase, recorded, TINY } from './recorded.js';

process.env.ORT_DORA_RUNTIME = 'onnxruntime-node';

it('answers as PyTorch does on stock onnxruntime-node', async () => {
  // Imported late: the runtime is chosen once a process.
  const { openVlm } = await import('../src/index.js');
  const { describeRuntime } = await import('@ort-dora/runtime');
  expect(describeRuntime().backend).toBe('onnxruntime-node');
  const model = await openVlm(TINY);
  for (const { messages, base } of recorded<GenerationCase[]>('generate.json').slice(0, 8)) {
    expect((await model.generate(conversation(messages), { maxTokens: 24 })).tokens).toEqual(base.tokens);
  }
  await model.dispose();
});
