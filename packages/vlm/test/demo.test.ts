// The demo model: prompts, pixels and answers against those that models/demo/record.py recorded from Python.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { readImageSettings } from '../src/folder/image-settings.js';
import { ModelFolder } from '../src/folder/model-folder.js';
import { readModelSettings } from '../src/folder/model-settings.js';
import { decodeImage } from '../src/image/decode-image.js';
import { makeTiles } from '../src/image/tiles.js';
import { type Message, openVariants } from '../src/index.js';
import { checkMessages } from '../src/messages.js';
import { ChatTemplate } from '../src/text/chat-template.js';
import { PromptBuilder } from '../src/text/prompt.js';
import { Tokenizer } from '../src/text/tokenizer.js';
import { readFloats } from './npz.js';

interface Recorded {
  picture: string;
  question: string;
  input_ids: number[];
  tokens: Record<string, number[]>;
  /** The smallest, on the way, of the highest logit minus the second. */
  gap: Record<string, number>;
}

const DEMO = fileURLToPath(new URL('../../../models/fixtures/demo', import.meta.url));
const records = JSON.parse(await readFile(`${DEMO}/recorded/questions.json`, 'utf8')) as Recorded[];
const folder = await ModelFolder.open(DEMO);
const LIMITS = { maxBytes: 1 << 20, maxPixels: 1 << 20 };
/** Logits of both graphs are some 10⁻⁵ away from PyTorch's. */
const TIE = 1e-4;

async function question(record: Recorded): Promise<Message[]> {
  const image = await readFile(`${DEMO}/recorded/${record.picture}`);
  return [
    {
      role: 'user',
      content: [
        { type: 'image', image },
        { type: 'text', text: record.question },
      ],
    },
  ];
}

it('has the prompts that the Python processor makes', async () => {
  const config = await folder.json('tokenizer_config.json');
  const tokenizer = new Tokenizer(await folder.json('tokenizer.json'), config);
  const builder = new PromptBuilder(
    tokenizer,
    await ChatTemplate.read(folder, config),
    await readModelSettings(folder),
  );
  for (const record of records) {
    const ids = builder.ids(checkMessages(await question(record)), [{ rows: 0, columns: 0 }]);
    expect(ids).toEqual(record.input_ids);
  }
});

describe('has the pixels that the Python processor makes', async () => {
  const settings = await readImageSettings(folder);
  const arrays = readFloats(await readFile(`${DEMO}/recorded/pixels.npz`));
  it.each([...arrays])('%s', async (size, expected) => {
    const image = await decodeImage(await readFile(`${DEMO}/recorded/sizes/${size}.png`), LIMITS);
    const { pixels } = await makeTiles(image, settings);
    expect(pixels.length).toBe(expected.length);
    expect(Math.max(...pixels.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-6);
  });
});

describe('answers as PyTorch does', async () => {
  const variants = await openVariants([
    { name: 'base', folder: DEMO },
    { name: 'reading', folder: DEMO, graphs: { decoder: 'decoder_model_merged_reading' } },
  ]);
  afterAll(() => variants.dispose());

  it.each(['base', 'reading'])('%s', { timeout: 240_000 }, async (name) => {
    const model = variants.models.get(name)!;
    let equal = 0;
    for (let start = 0; start < records.length; start += 16) {
      const batch = records.slice(start, start + 16);
      const requests = await Promise.all(
        batch.map(async (record) => ({ messages: await question(record), maxTokens: record.tokens[name]!.length })),
      );
      const answers = await model.generateBatch(requests);
      for (const [i, { tokens }] of answers.entries()) {
        const { gap, tokens: expected } = batch[i]!;
        if (gap[name]! < TIE) continue;
        expect(tokens).toEqual(expected[name]);
        equal += 1;
      }
    }
    expect(equal).toBeGreaterThanOrEqual(200);
  });
});
