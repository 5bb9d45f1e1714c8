/** What an attached model remembers of its adapter, in the model's metadata: enough to write the PEFT folder back. */

import { getMetadata, type ModelProto, setMetadata } from '@ort-dora/onnx';

/** The text of `adapter_config.json`, as it was. */
export const ADAPTER_CONFIG_METADATA = 'ort_dora.adapter_config';
/** A JSON object: name of an `ort.dora` node → PEFT module path, as in `adapter_model.safetensors` without its wrapper. */
export const MODULES_METADATA = 'ort_dora.modules';

export interface Provenance {
  /** The text of `adapter_config.json`. */
  readonly adapterConfig: string;
  /** Name of the node of domain `ort.dora` → module path. A module that a graph calls twice has two nodes. */
  readonly modules: ReadonlyMap<string, string>;
}

export function writeProvenance(model: ModelProto, { adapterConfig, modules }: Provenance): void {
  setMetadata(model, ADAPTER_CONFIG_METADATA, adapterConfig);
  setMetadata(model, MODULES_METADATA, JSON.stringify(Object.fromEntries(modules)));
}

/** For a model that holds no adapter any more. */
export function forgetProvenance(model: ModelProto): void {
  for (const key of [ADAPTER_CONFIG_METADATA, MODULES_METADATA]) setMetadata(model, key, undefined);
}

/** What {@link writeProvenance} wrote; undefined for models that were not attached, or whose metadata is no such JSON. */
export function readProvenance(model: ModelProto): Provenance | undefined {
  const adapterConfig = getMetadata(model, ADAPTER_CONFIG_METADATA);
  const modules = parseNames(getMetadata(model, MODULES_METADATA) ?? '');
  return adapterConfig === undefined || modules === undefined ? undefined : { adapterConfig, modules };
}

function parseNames(text: string): ReadonlyMap<string, string> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
  const entries = Object.entries(parsed);
  return entries.every(([, path]) => typeof path === 'string') ? new Map(entries as [string, string][]) : undefined;
}
