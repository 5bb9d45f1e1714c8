// node examples/ask.mjs MODEL PICTURE QUESTION
import { readFile } from 'node:fs/promises';
import { openVlm } from '@ort-dora/vlm';

const [folder, picture, question] = process.argv.slice(2);
const model = await openVlm(folder);
const messages = [
  {
    role: 'user',
    content: [
      { type: 'image', image: await readFile(picture) },
      { type: 'text', text: question },
    ],
  },
];

for await (const event of model.stream(messages, { maxTokens: 64, temperature: 0, stop: ['\n\n'] })) {
  if (event.type === 'text') process.stdout.write(event.text);
  else console.log('\n', event.finishReason, event.usage);
}
await model.dispose();
