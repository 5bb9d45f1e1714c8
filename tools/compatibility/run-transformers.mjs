// Generates with transformers.js from a rewritten folder, and compares tokens with recorded ones: one JSON object.
// usage: node run-transformers.mjs MODEL_FOLDER FOLDER_WITH_NODE_MODULES
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const QUESTIONS = 12;

const [model, folder] = process.argv.slice(2);
const required = createRequire(join(folder, 'package.json'));
const library = await import(pathToFileURL(required.resolve('@huggingface/transformers')).href);
const { AutoProcessor, Idefics3ForConditionalGeneration, RawImage, Tensor, env } = library;
env.allowRemoteModels = false;
env.localModelPath = dirname(model);

try {
  const name = basename(model);
  const processor = await AutoProcessor.from_pretrained(name);
  const network = await Idefics3ForConditionalGeneration.from_pretrained(name, { dtype: 'fp32' });
  const questions = JSON.parse(readFileSync(join(model, 'recorded', 'questions.json'), 'utf8')).slice(0, QUESTIONS);
  let equal = 0;
  for (const { picture, question, input_ids: ids, tokens } of questions) {
    const image = await RawImage.read(join(model, 'recorded', picture));
    const content = [{ type: 'image' }, { type: 'text', text: question }];
    const text = processor.apply_chat_template([{ role: 'user', content }], { add_generation_prompt: true });
    const inputs = await processor(text, [image], { do_image_splitting: false });
    // The recorded prompt: the template's own differences are no matter of the model.
    inputs.input_ids = new Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]);
    inputs.attention_mask = new Tensor('int64', new BigInt64Array(ids.length).fill(1n), [1, ids.length]);
    const output = await network.generate({ ...inputs, max_new_tokens: tokens.reading.length, do_sample: false });
    const generated = output.tolist()[0].slice(ids.length).map(Number);
    if (generated.join() === tokens.reading.join()) equal++;
  }
  console.log(JSON.stringify({ questions: questions.length, equal }));
} catch (failure) {
  console.log(JSON.stringify({ failure: failure instanceof Error ? failure.message : String(failure) }));
}
process.exit();
