import { getMetadata, type NodeProto, type ValueInfoProto } from '@ort-dora/onnx';

/** Where a module sits in the PEFT model. */
export interface ModulePath {
  /** As in `target_modules`: `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  readonly adapter: string | undefined;
}

/** What exporters leave of PEFT's names around one module. */
export interface NameSources {
  /** Names of its tensors: m, A, B, W and bias, m first. */
  readonly tensors: readonly string[];
  /** value_info of its folded tensors. */
  readonly infos: readonly ValueInfoProto[];
  /** Its nodes, those of the composition first. */
  readonly nodes: readonly NodeProto[];
}

/** Metadata of onnxscript's optimizer: the values that were folded into this one, as a Python list. */
export const FOLDED_FROM = 'pkg.onnxscript.optimizer.folded_from';
/** Metadata of torch.onnx: the modules around a node, from the outermost, as a Python list. */
export const NAME_SCOPES = 'pkg.torch.onnx.name_scopes';

const ADAPTER_PARAMETER =
  /^(?:(.*)\.)?(?:lora_magnitude_vector|lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.(?!weight$)([^./]+))?(?:\.weight)?$/;
const BASE_PARAMETER = /^(?:(.*)\.)?base_layer(?:\.(?:weight|bias))?$/;

/**
 * The module's path and adapter from whatever names the exporter kept: parameters, then what was folded into constants,
 * then module scopes of nodes, then the legacy exporter's node names. Undefined where none is left.
 */
export function modulePath(sources: NameSources): ModulePath | undefined {
  const folded = sources.infos.flatMap((info) => pythonList(getMetadata(info, FOLDED_FROM)));
  const scopes = sources.nodes.flatMap((node) => pythonList(getMetadata(node, NAME_SCOPES)).reverse());
  const names = [...sources.tensors, ...folded, ...scopes];
  return (
    firstDefined(names, adapterParameter) ??
    firstDefined(names, baseParameter) ??
    firstDefined(
      sources.nodes.map(({ name }) => name ?? ''),
      legacyNodeName,
    )
  );
}

function adapterParameter(name: string): ModulePath | undefined {
  const match = ADAPTER_PARAMETER.exec(name);
  return match === null ? undefined : { path: withoutWrapper(match[1] ?? ''), adapter: match[2] };
}

function baseParameter(name: string): ModulePath | undefined {
  const match = BASE_PARAMETER.exec(name);
  return match === null ? undefined : { path: withoutWrapper(match[1] ?? ''), adapter: undefined };
}

/** `/model/layers.0/q_proj/default/Mul_1`: modules, then the adapter, then the operator. */
function legacyNodeName(name: string): ModulePath | undefined {
  if (!name.startsWith('/')) return undefined;
  const segments = name.slice(1).split('/');
  const adapter = segments.at(-2);
  const path = segments.slice(0, -2).join('.');
  return path === '' || adapter === undefined ? undefined : { path, adapter };
}

/** PEFT wraps a model as `base_model.model`, and exports may wrap that again. */
function withoutWrapper(path: string): string {
  const wrapped = /(?:^|\.)base_model\.model(?:\.|$)/.exec(path);
  return wrapped === null ? path : path.slice(wrapped.index + wrapped[0].length);
}

/** The strings of a Python list of strings. */
export function pythonList(text: string | undefined): string[] {
  return [...(text ?? '').matchAll(/'([^']*)'|"([^"]*)"/g)].map(([, single, double]) => single ?? double ?? '');
}

function firstDefined<T>(items: readonly string[], find: (item: string) => T | undefined): T | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
