// Pixels, prompts and ids against those of transformers' Python processors.
import { describe, expect, it } from 'vitest';
import { imageSettings, readImageSettings } from '../src/folder/image-settings.js';
import { JsonObject } from '../src/folder/json-object.js';
import { ModelFolder } from '../src/folder/model-folder.js';
import { readModelSettings } from '../src/folder/model-settings.js';
import { makeTiles } from '../src/image/tiles.js';
import { checkMessages } from '../src/messages.js';
import { ChatTemplate } from '../src/text/chat-template.js';
import { PromptBuilder } from '../src/text/prompt.js';
import { Tokenizer } from '../src/text/tokenizer.js';
import { conversation, type PixelCase, type PromptCase, picture, recorded, recordedPixels, TINY } from './recorded.js';

const folder = await ModelFolder.open(TINY);

describe('pixels', async () => {
  const file = await folder.json('preprocessor_config.json');
  const pixels = recordedPixels();
  let start = 0;
  const cases = recorded<PixelCase[]>('pixels.json').map((entry) => {
    const length = entry.shape.reduce((product, dim) => product * dim);
    start += length;
    return { ...entry, expected: pixels.subarray(start - length, start) };
  });

  it.each(cases)('$picture through $backend, $settings: every level is equal', async (entry) => {
    const { backend, expected, shape } = entry;
    const suffix = backend === 'pillow' ? 'Pil' : '';
    const settings = imageSettings(
      JsonObject.from(
        { ...file.value, ...entry.settings, image_processor_type: `SmolVLMImageProcessor${suffix}` },
        'test',
      ),
    );
    const tiles = await makeTiles(picture(...entry.picture), settings);
    expect([tiles.count, 3, tiles.side, tiles.side]).toEqual(shape);
    expect([tiles.rows, tiles.columns]).toEqual([entry.rows, entry.columns]);
    // Mean and deviation are 0.5: a level is ((pixel + 1) / 2) · 255, and the pixel its value to float32.
    const levels = Uint8Array.from(tiles.pixels, (value) => Math.round(((value + 1) / 2) * 255));
    expect(Buffer.compare(levels, expected)).toBe(0);
    expect(
      Math.max(...tiles.pixels.map((value, i) => Math.abs(value - (expected[i]! / 255 - 0.5) / 0.5))),
    ).toBeLessThan(2e-7);
  });
});

describe('prompts', async () => {
  const config = await folder.json('tokenizer_config.json');
  const settings = await readModelSettings(folder);
  const template = await ChatTemplate.read(folder, config);
  const tokenizer = new Tokenizer(await folder.json('tokenizer.json'), config);
  const builder = new PromptBuilder(tokenizer, template, settings);
  const tileSettings = await readImageSettings(folder);

  it.each(recorded<PromptCase[]>('prompts.json'))('$prompt', async ({ messages, prompt, ids }) => {
    const checked = checkMessages(conversation(messages));
    expect(template.render(checked)).toBe(prompt);
    const images = checked.flatMap(({ content }) => content).filter((part) => part.type === 'image');
    const grids = await Promise.all(
      images.map((part) => {
        if (part.image instanceof Uint8Array) throw new Error('these are pixels');
        return makeTiles(part.image, tileSettings);
      }),
    );
    expect(builder.ids(checked, grids)).toEqual(ids);
  });
});
