// Greedy tokens of a decoder against recorded ones of PyTorch's generate, question by question.
// node packages/vlm/bench/agreement.mjs --model FOLDER [--decoder NAME] --recorded FILE --pictures FOLDER --answers KEY [--out FILE]
// FILE: [{ "picture": "name.png", "question": "…", KEY: { "tokens": […], "gaps": […] } }, …], a gap being the highest logit minus the
// second. Exits 1 if an answer differs at a step whose gap is larger than the error of the gaps at all steps that agree.
// Needs built packages (npm run build).
import { readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openVlm } from '@ort-dora/vlm';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    decoder: { type: 'string', default: 'decoder_model_merged' },
    recorded: { type: 'string' },
    pictures: { type: 'string' },
    answers: { type: 'string' },
    out: { type: 'string' },
  },
});

const cases = JSON.parse(await readFile(values.recorded, 'utf8'));
const model = await openVlm(values.model, { graphs: { decoder: values.decoder } });
const differing = [];
let [equal, steps, gapError, smallestGap] = [0, 0, 0, Number.POSITIVE_INFINITY];
for (const entry of cases) {
  const recorded = entry[values.answers];
  const image = await readFile(join(values.pictures, entry.picture));
  const messages = [
    {
      role: 'user',
      content: [
        { type: 'image', image },
        { type: 'text', text: entry.question },
      ],
    },
  ];
  const options = { maxTokens: recorded.tokens.length, temperature: 0, logprobs: 2 };
  const { tokens, logprobs } = await model.generate(messages, options);
  const first = recorded.tokens.findIndex((token, i) => token !== tokens[i]);
  const agreed = first < 0 ? tokens.length : first;
  // The token that ends an answer has no log-probability here.
  for (let i = 0; i < Math.min(agreed, logprobs.length); i++) {
    const [best, second] = logprobs[i].alternatives;
    gapError = Math.max(gapError, Math.abs(best.logprob - second.logprob - recorded.gaps[i]));
  }
  steps += agreed;
  smallestGap = Math.min(smallestGap, ...recorded.gaps);
  if (first < 0) equal += 1;
  else differing.push({ picture: entry.picture, question: entry.question, step: first, gap: recorded.gaps[first] });
}
await model.dispose();

const wrong = differing.filter(({ gap }) => gap > gapError);
const result = {
  command: `node packages/vlm/bench/agreement.mjs ${process.argv.slice(2).join(' ')}`,
  machine: { cpu: os.cpus()[0]?.model, node: process.version },
  questions: cases.length,
  equal,
  nearTies: differing.length - wrong.length,
  wrong,
  stepsThatAgree: steps,
  largestErrorOfAGap: gapError,
  smallestRecordedGap: smallestGap,
};
const text = `${JSON.stringify(result, undefined, 2)}\n`;
if (values.out !== undefined) await writeFile(values.out, text);
process.stdout.write(text);
process.exitCode = wrong.length === 0 ? 0 : 1;
