import { join, resolve } from 'node:path';
import { type AdapterConfig, parseConfig } from './config.js';
import { AdapterError } from './errors.js';
import { openInFolder, readAt } from './folder.js';
import { type AdapterModule, groupTensors } from './modules.js';
import { PathPatterns } from './patterns.js';
import { type AdapterTensor, openSafetensors } from './safetensors/file.js';
import { targetWarning } from './targets.js';
import { initialisationWarning } from './variants.js';

export const CONFIG_FILE = 'adapter_config.json';
export const TENSORS_FILE = 'adapter_model.safetensors';

export interface OpenOptions {
  /**
   * What to do about tensors that replace parameters of the base model (`modules_to_save`, `bias`, saved embeddings):
   * `refuse` (default) is an error that lists them, `allow` leaves them to the caller in {@link Adapter.replacements}.
   */
  readonly replacements?: 'refuse' | 'allow';
}

/** An opened PEFT adapter folder. Tensors are read when asked for; close it when done. */
export interface Adapter {
  /** Absolute. */
  readonly folder: string;
  readonly config: AdapterConfig;
  /** By module path, sorted. Never empty. */
  readonly modules: ReadonlyMap<string, AdapterModule>;
  /** Parameters of the base model that the adapter brings along, by their path; empty unless they were allowed. */
  readonly replacements: ReadonlyMap<string, AdapterTensor>;
  /** What a person should know before using it, a sentence each. */
  readonly warnings: readonly string[];
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a folder that PEFT's `save_pretrained` wrote, of LoRA with or without DoRA, and checks it whole: config,
 * safetensors header, and that tensors and config belong together. No tensor is read.
 *
 * @throws AdapterError
 */
export async function openAdapter(folder: string, options: OpenOptions = {}): Promise<Adapter> {
  const root = resolve(folder);
  const config = await readConfig(root);
  const file = await openSafetensors(root, TENSORS_FILE);
  if (file === undefined) throw await noTensors(root);
  try {
    const path = join(root, TENSORS_FILE);
    const patterns = new PathPatterns();
    const { modules, replacements, warnings } = groupTensors(file.tensors, config, patterns, path);
    if (options.replacements !== 'allow') refuseReplacements(replacements, config, path);
    if (modules.size === 0) throw new AdapterError('tensors', path, 'it holds no module of an adapter');
    const close = () => file.close();
    return {
      folder: root,
      config,
      modules,
      replacements,
      warnings: [
        initialisationWarning(config.initLoraWeights),
        targetWarning(config, [...modules.keys()], patterns),
        ...warnings,
      ].filter((warning) => warning !== undefined),
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Larger than the names of all modules of a large model. */
const MAX_CONFIG_BYTES = 4 * 2 ** 20;

async function readConfig(root: string): Promise<AdapterConfig> {
  const file = await openInFolder(root, CONFIG_FILE);
  if (file === undefined) {
    throw new AdapterError('io', root, `there is no ${CONFIG_FILE} in it`, {
      todo: "give a folder that PEFT's save_pretrained wrote",
    });
  }
  try {
    if (file.size > MAX_CONFIG_BYTES) {
      throw new AdapterError(
        'config',
        file.path,
        `it has ${file.size} bytes, more than the ${MAX_CONFIG_BYTES} that are read`,
      );
    }
    return parseConfig(await readAt(file, 0, file.size), file.path);
  } finally {
    await file.handle.close();
  }
}

async function noTensors(root: string): Promise<AdapterError> {
  const pickle = await openInFolder(root, 'adapter_model.bin');
  await pickle?.handle.close();
  return pickle === undefined
    ? new AdapterError('io', root, `there is no ${TENSORS_FILE} in it`, {
        todo: "give a folder that PEFT's save_pretrained wrote",
      })
    : new AdapterError('unsupported', root, 'its tensors are in adapter_model.bin, a pickle, which can run code', {
        todo: 'load it with PEFT and save it again with safe_serialization=True',
      });
}

function refuseReplacements(
  replacements: ReadonlyMap<string, AdapterTensor>,
  { modulesToSave, bias }: AdapterConfig,
  file: string,
): void {
  if (replacements.size === 0) return;
  const names = [...replacements.keys()].sort();
  const listed = `${names.slice(0, 8).join(', ')}${names.length > 8 ? `, and ${names.length - 8} more` : ''}`;
  const reasons = [
    modulesToSave.length > 0 && `modules_to_save is ${modulesToSave.join(', ')}`,
    bias !== 'none' && `bias is ${bias}`,
  ].filter((reason) => reason !== false);
  throw new AdapterError(
    'unsupported',
    file,
    `it replaces parameters of the base model (${[...reasons, listed].join('; ')})`,
    {
      todo: 'only adapters that leave the base as it is can be used over a shared one: put these into the base itself',
    },
  );
}
