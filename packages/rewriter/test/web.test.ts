/** Rewritten files run unmodified in onnxruntime-web (WebAssembly), by their function bodies. */
import { encodeModel } from '@ort-dora/onnx';
import * as web from 'onnxruntime-web';
import { expect, it } from 'vitest';
import { toNumbers } from './support/npz.js';
import { relativeError } from './support/numbers.js';
import { rewritten } from './support/rewrite.js';
import { inputSets, SAMPLES, sampleModel } from './support/samples.js';
import { numbersOf } from './support/tensors.js';

web.env.wasm.numThreads = 1;
web.env.logLevel = 'error';

it.each(SAMPLES.filter(({ meta }) => meta.should_match))('$name', async (sample) => {
  const { model } = await rewritten(sampleModel(sample));
  const session = await web.InferenceSession.create(encodeModel(model), { executionProviders: ['wasm'] });
  const { feeds, expected } = inputSets(sample)[0]!;
  const results = await session.run(feeds);
  for (const [name, tensor] of Object.entries(results)) {
    const reference = toNumbers(expected.get(`${name}__f64`)!);
    expect(relativeError(numbersOf(tensor), reference)).toBeLessThan(sample.meta.tolerance!.max_abs_over_absmax);
  }
  await session.release();
});
