import { writeFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openVlm } from './open-vlm.js';

const TINY = fileURLToPath(new URL('../test/fixtures/tiny', import.meta.url));
let folder: string;

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'ort-dora-vlm-')), 'model');
  await cp(TINY, folder, { recursive: true });
});

afterEach(() => rm(join(folder, '..'), { recursive: true }));

function refused(code: string, message: string) {
  return expect.objectContaining({ code, message: expect.stringContaining(message) });
}

async function change(name: string, edit: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await readFile(join(folder, name), 'utf8'));
  edit(json);
  await writeFile(join(folder, name), JSON.stringify(json));
}

describe('missing', () => {
  it('names a folder that is not there', async () => {
    await expect(openVlm('/no/such/folder')).rejects.toThrow(
      refused('FOLDER_INVALID', '/no/such/folder: there is no such folder'),
    );
  });

  it.each(['config.json', 'tokenizer.json', 'tokenizer_config.json', 'preprocessor_config.json'])(
    'names %s',
    async (name) => {
      await rm(join(folder, name));
      await expect(openVlm(folder)).rejects.toThrow(refused('FOLDER_INVALID', `${name} is missing`));
    },
  );

  it('names a graph, and those that are there', async () => {
    await rm(join(folder, 'onnx/vision_encoder.onnx'));
    await expect(openVlm(folder)).rejects.toThrow(
      refused('FOLDER_INVALID', 'vision_encoder.onnx is missing; the folder onnx has decoder_model_merged.onnx'),
    );
  });

  it('does without generation_config.json', async () => {
    await rm(join(folder, 'generation_config.json'));
    await (await openVlm(folder)).dispose();
  });
});

describe('as transformers 5 writes a folder', () => {
  it('reads the template from chat_template.jinja, and the image processor from processor_config.json', async () => {
    const reference = await openVlm(folder);
    const image_processor = JSON.parse(await readFile(join(folder, 'preprocessor_config.json'), 'utf8'));
    await writeFile(join(folder, 'processor_config.json'), JSON.stringify({ image_processor, image_seq_len: 4 }));
    await rm(join(folder, 'preprocessor_config.json'));
    await change('tokenizer_config.json', (json) => {
      writeFileSync(join(folder, 'chat_template.jinja'), String(json.chat_template));
      delete json.chat_template;
    });
    const model = await openVlm(folder);
    const image = { width: 40, height: 30, data: new Uint8Array(3600).map((_, i) => i * i) };
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'image', image },
          { type: 'text', text: 'What?' },
        ],
      },
    ] as const;
    const options = { maxTokens: 8 };
    expect((await model.generate(messages, options)).tokens).toEqual(
      (await reference.generate(messages, options)).tokens,
    );
    await Promise.all([model.dispose(), reference.dispose()]);
  });
});

describe('malformed', () => {
  it('names the file that is not JSON', async () => {
    await writeFile(join(folder, 'config.json'), '{');
    await expect(openVlm(folder)).rejects.toThrow(refused('FOLDER_INVALID', 'config.json: not valid JSON'));
  });

  it('names the file that is too large', async () => {
    await writeFile(join(folder, 'config.json'), ' '.repeat((1 << 20) + 1));
    await expect(openVlm(folder)).rejects.toThrow(
      refused('FOLDER_INVALID', 'config.json: 1048577 bytes, expected at most 1048576'),
    );
  });

  it.each<[string, string, (json: never) => void, string]>([
    [
      'config.json',
      'FOLDER_INVALID',
      (json: { text_config: object }) => Object.assign(json.text_config, { hidden_size: -1 }),
      'text_config: hidden_size: expected an integer from 1 to 65536, found -1',
    ],
    [
      'config.json',
      'FOLDER_INVALID',
      (json: { image_token_id: number }) => Object.assign(json, { image_token_id: 1e6 }),
      'image_token_id: expected an integer from 0 to 366',
    ],
    [
      'config.json',
      'MODEL_UNSUPPORTED',
      (json: object) => Object.assign(json, { model_type: 'qwen2_vl' }),
      'model_type qwen2_vl is not supported',
    ],
    [
      'config.json',
      'FOLDER_INVALID',
      (json: { text_config: object }) => Object.assign(json, { text_config: [] }),
      'text_config: expected an object, found an array of 0',
    ],
    [
      'generation_config.json',
      'FOLDER_INVALID',
      (json: object) => Object.assign(json, { eos_token_id: [3, 9999] }),
      'eos_token_id: expected ids below 367, found 9999',
    ],
    [
      'generation_config.json',
      'FOLDER_INVALID',
      (json: object) => Object.assign(json, { do_sample: true, temperature: 'hot' }),
      "temperature: expected a number from 0 to 100, found 'hot'",
    ],
    [
      'preprocessor_config.json',
      'FOLDER_INVALID',
      (json: object) => Object.assign(json, { max_image_size: { longest_edge: 1e9 } }),
      'max_image_size: longest_edge: expected an integer from 8 to 4096',
    ],
    [
      'preprocessor_config.json',
      'FOLDER_INVALID',
      (json: object) => Object.assign(json, { max_image_size: { longest_edge: 64 } }),
      'makes tiles of 64 pixels, the vision encoder of config.json takes 32',
    ],
    [
      'preprocessor_config.json',
      'MODEL_UNSUPPORTED',
      (json: object) => Object.assign(json, { resample: 4 }),
      'resample 4 is not supported',
    ],
    [
      'preprocessor_config.json',
      'MODEL_UNSUPPORTED',
      (json: object) => Object.assign(json, { image_processor_type: 'CLIPImageProcessor' }),
      'CLIPImageProcessor is not supported',
    ],
    [
      'tokenizer.json',
      'MODEL_UNSUPPORTED',
      (json: object) => Object.assign(json, { decoder: null }),
      'expected ByteLevel',
    ],
    [
      'tokenizer.json',
      'FOLDER_INVALID',
      (json: object) => Object.assign(json, { added_tokens: [] }),
      '<image> is not an added token',
    ],
    [
      'tokenizer.json',
      'FOLDER_INVALID',
      (json: object) => Object.assign(json, { model: { type: 'Mystery' } }),
      'tokenizer.json',
    ],
    [
      'tokenizer_config.json',
      'FOLDER_INVALID',
      (json: object) => Object.assign(json, { chat_template: '{% for' }),
      'the chat template',
    ],
    [
      'tokenizer_config.json',
      'FOLDER_INVALID',
      (json: object) => Object.assign(json, { chat_template: 'x'.repeat(65537) }),
      'at most 65536 characters',
    ],
  ])('%s: %s', async (name, code, edit, message) => {
    await change(name, edit as never);
    await expect(openVlm(folder)).rejects.toThrow(refused(code, message));
  });
});

describe('leading out of the folder', () => {
  it('refuses a link to a file elsewhere', async () => {
    await rm(join(folder, 'config.json'));
    await symlink(join(TINY, 'config.json'), join(folder, 'config.json'));
    await expect(openVlm(folder)).rejects.toThrow(refused('FOLDER_INVALID', 'leads out of its folder'));
  });

  it('refuses a linked folder of graphs', async () => {
    await rm(join(folder, 'onnx'), { recursive: true });
    await symlink(join(TINY, 'onnx'), join(folder, 'onnx'));
    await expect(openVlm(folder)).rejects.toThrow(refused('FOLDER_INVALID', 'leads out of its folder'));
  });

  it.each(['../../etc/passwd', '..', 'a/b', '', '.hidden', 'x'.repeat(200)])(
    'refuses the graph name %j',
    async (decoder) => {
      await expect(openVlm(folder, { graphs: { decoder } })).rejects.toThrow(
        refused('INVALID_ARGUMENT', 'expected the name of a graph'),
      );
    },
  );

  it('follows links that stay inside', async () => {
    await mkdir(join(folder, 'blobs'));
    await cp(join(folder, 'config.json'), join(folder, 'blobs/config'));
    await rm(join(folder, 'config.json'));
    await symlink('blobs/config', join(folder, 'config.json'));
    await (await openVlm(folder)).dispose();
  });
});

describe('graphs of another kind', () => {
  it.each([
    [{ decoder: 'vision_encoder' }, 'the decoder has no input inputs_embeds'],
    [{ vision: 'embed_tokens' }, 'the vision encoder must take pixel_values'],
    [{ embeddings: 'vision_encoder' }, 'the embedding graph must take input_ids'],
  ])('refuses %j', async (graphs, message) => {
    await expect(openVlm(folder, { graphs })).rejects.toThrow(refused('MODEL_UNSUPPORTED', message));
  });
});

it('interrupts a chat template that never ends', async () => {
  await change('tokenizer_config.json', (json) => {
    json.chat_template = '{% for a in range(99999999) %}{% for b in range(99999999) %}{% endfor %}{% endfor %}';
  });
  const model = await openVlm(folder);
  await expect(model.generate([{ role: 'user', content: 'Hi' }])).rejects.toThrow(
    refused('MODEL_FAILED', 'the chat template did not come to an end within 2000 ms'),
  );
  await model.dispose();
});
