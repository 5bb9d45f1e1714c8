/** Adapter folders by hand. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { safetensors } from './safetensors.js';

/** What PEFT writes of one linear DoRA module of rank 2, over W `[4, 3]`. */
export const CONFIG = { peft_type: 'LORA', r: 2, lora_alpha: 4, use_dora: true, target_modules: ['fc'] };
export const SHAPES: Readonly<Record<string, readonly number[]>> = {
  'base_model.model.fc.lora_A.weight': [2, 3],
  'base_model.model.fc.lora_B.weight': [4, 2],
  'base_model.model.fc.lora_magnitude_vector': [4],
};

/** Writes a folder with that config, and tensors of those shapes in float32. */
export function writeFolder(
  folder: string,
  config: string | object = CONFIG,
  shapes: Readonly<Record<string, readonly number[]>> = SHAPES,
): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'adapter_config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  let end = 0;
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const start = end;
    end += shape.reduce((product, size) => product * size, 4);
    return [name, { dtype: 'F32', shape, data_offsets: [start, end] }];
  });
  writeFileSync(join(folder, 'adapter_model.safetensors'), safetensors(Object.fromEntries(entries), end));
  return folder;
}
