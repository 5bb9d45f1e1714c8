// Greedy tokens against those that PyTorch's generate gave, question by question, for any decoder of any folder.
// node packages/vlm/bench/agreement.mjs --answers NAME [--model FOLDER] [--decoder NAME] [--recorded FOLDER] [--tie GAP] [--device cuda] [--out FILE]
// --recorded has questions.json and its pictures, as models/demo/record.py writes them; --answers says whose tokens count. Where the two
// best logits of a question come closer than --tie (the rewrite's own error), either token is right: those are counted apart.
// Exits 1 if any other answer differs. Needs built packages (npm run build).
import { readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeCuda, describeRuntime } from '@ort-dora/runtime';
import { openVlm } from '@ort-dora/vlm';

const DEMO = fileURLToPath(new URL('../../../models/fixtures/demo', import.meta.url));

const { values } = parseArgs({
  options: {
    answers: { type: 'string' },
    model: { type: 'string', default: DEMO },
    decoder: { type: 'string', default: 'decoder_model_merged' },
    recorded: { type: 'string', default: join(DEMO, 'recorded') },
    tie: { type: 'string', default: '1e-4' },
    device: { type: 'string', default: 'cpu' },
    out: { type: 'string' },
  },
});

const records = JSON.parse(await readFile(join(values.recorded, 'questions.json'), 'utf8'));
// Without TF32: the answers of float32 are what is asked for.
const providers = values.device === 'cuda' ? [{ name: 'cuda', tf32: false }] : [];
const model = await openVlm(values.model, { graphs: { decoder: values.decoder }, session: { providers } });
const differing = [];
let tokenCount = 0;
for (const record of records) {
  const expected = record.tokens[values.answers];
  const image = await readFile(join(values.recorded, record.picture));
  const messages = [
    {
      role: 'user',
      content: [
        { type: 'image', image },
        { type: 'text', text: record.question },
      ],
    },
  ];
  const { tokens, usage } = await model.generate(messages, { maxTokens: expected.length, temperature: 0 });
  const samePrompt = usage.promptTokens === record.input_ids.length;
  tokenCount += tokens.length;
  if (samePrompt && tokens.join() === expected.join()) continue;
  differing.push({ picture: record.picture, question: record.question, gap: record.gap[values.answers], samePrompt });
}
await model.dispose();

const tie = Number(values.tie);
const gaps = records.map(({ gap }) => gap[values.answers]);
const wrong = differing.filter(({ gap, samePrompt }) => gap >= tie || !samePrompt);
const result = {
  command: `node packages/vlm/bench/agreement.mjs ${process.argv.slice(2).join(' ')}`,
  machine: { cpu: os.cpus()[0]?.model, node: process.version, runtime: describeRuntime().backend },
  device: values.device === 'cuda' ? describeCuda().devices[0] : 'cpu',
  questions: records.length,
  tokens: tokenCount,
  equal: records.length - differing.length,
  differentAtATie: differing.length - wrong.length,
  wrong,
  questionsWithATie: gaps.filter((gap) => gap < tie).length,
  smallestGap: Math.min(...gaps),
};
const text = `${JSON.stringify(result, undefined, 2)}\n`;
if (values.out !== undefined) await writeFile(values.out, text);
process.stdout.write(text);
process.exitCode = wrong.length === 0 ? 0 : 1;
