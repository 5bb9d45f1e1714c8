/** Reads what generated inputs depend on from the config.json beside a model (or one folder up, as in transformers.js' layout). */

import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ModelConfig } from './interface.js';

const maxConfigBytes = 2 ** 20;

/** The config of the model at `modelPath`; empty where there is none or it cannot be read: it only ever helps. */
export async function readModelConfig(modelPath: string): Promise<ModelConfig> {
  const folder = dirname(modelPath);
  for (const path of [join(folder, 'config.json'), join(folder, '..', 'config.json')]) {
    try {
      if ((await stat(path)).size > maxConfigBytes) continue;
      return parseConfig(JSON.parse(await readFile(path, 'utf8')));
    } catch {}
  }
  return {};
}

export function parseConfig(config: unknown): ModelConfig {
  const text = entry(config, 'text_config') ?? config;
  const size = entry(entry(config, 'vision_config'), 'image_size');
  const heads = entry(text, 'num_attention_heads') ?? entry(text, 'n_head');
  const width = entry(text, 'hidden_size') ?? entry(text, 'n_embd');
  return clean({
    cacheHeads: entry(text, 'num_key_value_heads') ?? heads,
    headSize: entry(text, 'head_dim') ?? Number(width) / Number(heads),
    vocabularySize: entry(text, 'vocab_size') ?? entry(config, 'vocab_size'),
    imageToken: entry(config, 'image_token_id') ?? entry(config, 'image_token_index'),
    imageSize: entry(size, 'longest_edge') ?? size,
  });
}

function entry(object: unknown, key: string): unknown {
  return typeof object === 'object' && object !== null ? (object as Record<string, unknown>)[key] : undefined;
}

function clean(entries: Record<keyof ModelConfig, unknown>): ModelConfig {
  return Object.fromEntries(
    Object.entries(entries).filter(([, value]) => Number.isSafeInteger(value) && (value as number) >= 0),
  );
}
