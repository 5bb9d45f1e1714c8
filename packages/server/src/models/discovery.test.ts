import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { discoverModels } from './discovery.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ort-dora-discovery-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

function files(...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), '');
  }
}

const names = (path: string) =>
  discoverModels(join(root, path)).files.map(({ name, path: file }) => [name, file.slice(root.length + 1)]);

describe('discoverModels', () => {
  it('names a file by itself, and model.onnx by its folder', () => {
    files('a/net.onnx', 'a/model.onnx');
    expect(names('a/net.onnx')).toEqual([['net', 'a/net.onnx']]);
    expect(names('a/model.onnx')).toEqual([['a', 'a/model.onnx']]);
  });

  it('reads a model folder, with the files in it or in onnx/', () => {
    files(
      'one/whatever.onnx',
      'one/whatever.onnx_data',
      'vlm/onnx/vision_encoder.onnx',
      'vlm/onnx/decoder_model_merged.onnx',
      'vlm/config.json',
    );
    expect(names('one')).toEqual([['one', 'one/whatever.onnx']]);
    expect(names('vlm')).toEqual([
      ['vlm.decoder_model_merged', 'vlm/onnx/decoder_model_merged.onnx'],
      ['vlm.vision_encoder', 'vlm/onnx/vision_encoder.onnx'],
    ]);
  });

  it('takes the folder of a vision-language model as chat models, one a decoder, and not as single graphs', () => {
    const graphs = ['vision_encoder', 'embed_tokens', 'decoder_model_merged', 'decoder_model_merged_reading'];
    files('zoo/plain/model.onnx', ...graphs.map((graph) => `zoo/demo/onnx/${graph}.onnx`));
    for (const name of ['config.json', 'tokenizer.json', 'preprocessor_config.json']) {
      writeFileSync(join(root, 'zoo/demo', name), '{"model_type": "smolvlm"}');
    }
    const { files: single, chat } = discoverModels(join(root, 'zoo'));
    expect(single.map(({ name }) => name)).toEqual(['plain']);
    expect(chat.map(({ name, decoder }) => [name, decoder])).toEqual([
      ['demo', 'decoder_model_merged'],
      ['demo-reading', 'decoder_model_merged_reading'],
    ]);
    expect(discoverModels(join(root, 'zoo/demo')).chat).toEqual(chat);
  });

  it('leaves a model of an architecture that cannot chat to the tensor protocol', () => {
    files('q/onnx/vision_encoder.onnx', 'q/onnx/embed_tokens.onnx', 'q/onnx/decoder_model_merged.onnx');
    for (const name of ['config.json', 'tokenizer.json', 'preprocessor_config.json']) {
      writeFileSync(join(root, 'q', name), '{"model_type": "qwen2_5_vl"}');
    }
    expect(discoverModels(join(root, 'q'))).toMatchObject({ chat: [], files: { length: 3 } });
  });

  it('reads a folder of model folders, linked ones too, in a fixed order', () => {
    files('zoo/b/model.onnx', 'zoo/a/model.onnx', 'zoo/notes.txt', 'elsewhere/model.onnx');
    symlinkSync(join(root, 'elsewhere'), join(root, 'zoo/c'));
    expect(names('zoo').map(([name]) => name)).toEqual(['a', 'b', 'c']);
  });

  it.each<[string, string[], string, string]>([
    ['nothing there', [], 'no', 'does not exist'],
    ['no model', ['zoo/readme.md'], 'zoo', 'no .onnx file in'],
    ['a file of another kind', ['a.txt'], 'a.txt', 'is not an .onnx file'],
    ['a name that a URL cannot carry', ['zoo/my model/model.onnx'], 'zoo', '"my model"'],
    ['two models of one name', ['vlm/model.onnx', 'vlm/onnx/model.onnx'], 'vlm', 'two models would be named "vlm"'],
  ])('refuses %s', (_what, paths, path, message) => {
    files(...paths);
    expect(() => discoverModels(join(root, path))).toThrow(message);
  });
});
