/** Module paths that an export gives a layer: by scopes of its nodes, and names of its parameters. */

import type { NodeProto, Scope } from '@ort-dora/onnx';
import { FOLDED_FROM, NAME_SCOPES, pythonList } from '../rewrite/module-path.js';
import type { LayerBias, LayerWeight } from './base-layers.js';
import { fitOf, isThinned } from './paths.js';

/** One module path of a layer, as segments, and where it was read. */
export interface LayerName {
  readonly segments: readonly string[];
  readonly from: 'node name' | 'name scopes' | 'initializer name' | 'folded initializer';
}

export interface LayerNames {
  /** Names that say nothing another one does not say in full are left out. */
  readonly names: readonly LayerName[];
  /** The weight's own name, where it is another module's: both have this weight, or are one module of two names. */
  readonly ofSharedWeight: readonly LayerName[];
}

/**
 * The paths of a layer. Where its nodes say which module they are, a parameter's name counts only if it says the same:
 * exporters share equal parameters, such as a tied head's, under one of their names.
 */
export function layerNames(
  scope: Scope,
  ofLayer: readonly NodeProto[],
  weight: Pick<LayerWeight, 'source' | 'value'>,
  bias: LayerBias | undefined,
): LayerNames {
  const nodes = bias?.addition === undefined ? ofLayer : [...ofLayer, bias.addition];
  const values = [weight.source, weight.value ?? '', bias?.value ?? ''].filter((value) => value !== '');
  const folded = values.flatMap((value) =>
    listOf(scope.valueInfo(unquantized(value))?.metadataProps ?? [], FOLDED_FROM),
  );
  const ofNodes = distinct([
    ...nodes.map(({ metadataProps }) => ['name scopes', listOf(metadataProps, NAME_SCOPES).at(-2)] as const),
    ...nodes.map(({ name = '' }) => ['node name', pathOfNode(name)] as const),
  ]);
  const ofParameters = distinct([
    ...folded.map((name) => ['folded initializer', pathOfParameter(name)] as const),
    ...values.map((name) => ['initializer name', pathOfParameter(name)] as const),
  ]);
  const agrees = ({ segments }: LayerName) =>
    ofNodes.length === 0 || ofNodes.some((own) => fitOf(segments, own.segments) !== undefined);
  const names = [...ofNodes, ...ofParameters.filter(agrees)];
  return {
    names: names.filter(({ segments }) => !names.some((other) => isThinned(segments, other.segments))),
    ofSharedWeight: ofParameters.filter(
      (name) => !agrees(name) && name.segments.join('.') === pathOfParameter(weight.source),
    ),
  };
}

function distinct(paths: readonly (readonly [LayerName['from'], string | undefined])[]): readonly LayerName[] {
  const names = new Map<string, LayerName>();
  for (const [from, path] of paths) {
    const segments = segmentsOf(path ?? '');
    if (segments.length > 0 && !names.has(segments.join('.'))) names.set(segments.join('.'), { segments, from });
  }
  return [...names.values()];
}

/** `model.layers.0.fc` as segments, without PEFT's wrapper. */
export function segmentsOf(path: string): readonly string[] {
  const segments = path.split('.').filter((segment) => segment !== '');
  const wrapper = segments.findIndex((segment, index) => segment === 'base_model' && segments[index + 1] === 'model');
  return wrapper < 0 ? segments : segments.slice(wrapper + 2);
}

/** Operators whose name ends a node's name, with what quantizers and exporters append to it. */
const OPERATOR = /^(?:MatMul|MatMulNBits|Gemm|Gather|Conv|Add|BiasAdd)(?:_[\w.]+)?$/;

/** `/model/layers.0/self_attn/q_proj/MatMul`: legacy exports and onnxruntime-genai. */
function pathOfNode(name: string): string | undefined {
  if (!name.startsWith('/')) return undefined;
  const segments = name.slice(1).split('/');
  const last = segments.pop() ?? '';
  return OPERATOR.test(last) && segments.length > 0 ? segments.join('.') : undefined;
}

/** `model.layers.0.fc.weight`, and what quantizers make of it. */
const PARAMETER = /^(.+?)(?:\.(?:MatMul|MatMulNBits|Gemm|Add))?\.(?:weight|bias|qweight)(?:_[\w.]+)?$/;

function pathOfParameter(name: string): string | undefined {
  return PARAMETER.exec(name)?.[1];
}

function listOf(
  metadata: readonly { readonly key?: string | undefined; readonly value?: string | undefined }[],
  key: string,
) {
  return metadata.filter((entry) => entry.key === key).flatMap(({ value }) => pythonList(value));
}

/** Quantizers name what they make after what was there before, whose description stays. */
function unquantized(name: string): string {
  return name.replace(/(?:_DQ)?_Q\d+(?:G\d+)?$|_quantized$/, '');
}
