/** Which chat models the folder of a vision-language model holds: its decoder, and each further decoder with an adapter. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface ChatVariant {
  /** The id in /v1/models. */
  readonly name: string;
  /** In the layout of transformers.js. */
  readonly folder: string;
  /** The file onnx/<decoder>.onnx. */
  readonly decoder: string;
  /** That file. */
  readonly path: string;
}

/** Those that `@ort-dora/vlm` runs; the graphs of others are served one by one. */
const ARCHITECTURES: ReadonlySet<unknown> = new Set(['smolvlm', 'idefics3']);

const NEEDED = [
  'config.json',
  'tokenizer.json',
  'preprocessor_config.json',
  'onnx/vision_encoder.onnx',
  'onnx/embed_tokens.onnx',
] as const;

const DECODER = /^(decoder_model_merged(?:_(.+))?)\.onnx$/;

/**
 * `demo/onnx/decoder_model_merged.onnx` is the chat model `demo`, `…_merged_reading.onnx` is `demo-reading`.
 * @param checkName throws where a name cannot be served
 * @returns nothing where the folder is no model that can chat
 */
export function chatVariants(folder: string, checkName: (name: string, path: string) => string): ChatVariant[] {
  if (!NEEDED.every((file) => isFile(join(folder, file))) || !ARCHITECTURES.has(modelType(folder))) return [];
  return readdirSync(join(folder, 'onnx'))
    .sort()
    .flatMap((file) => {
      const [, decoder, variant] = DECODER.exec(file) ?? [];
      if (decoder === undefined) return [];
      const path = join(folder, 'onnx', file);
      const name = variant === undefined ? basename(folder) : `${basename(folder)}-${variant}`;
      return [{ name: checkName(name, path), folder, decoder, path }];
    });
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

const LARGEST_CONFIG = 1 << 20;

function modelType(folder: string): unknown {
  const path = join(folder, 'config.json');
  if (statSync(path).size > LARGEST_CONFIG) return undefined;
  try {
    return (JSON.parse(readFileSync(path, 'utf8')) as { model_type?: unknown } | null)?.model_type;
  } catch {
    return undefined;
  }
}
