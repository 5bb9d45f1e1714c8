/** Replacing a proven {@link ProvenLinearModule} by `ort.dora` operators. */
import type { DoraComposeForm, DoraLinearForm, DoraScaleForm, FloatType, Transposed } from '../functions/form.js';
import { type MatchResult, matched, mismatch } from '../match/result.js';
import { type MatrixTrace, plain, uncast, unwiden } from '../match/trace.js';
import type { NormRequest } from '../norm/norm.js';
import { matchDequantizedWeight } from '../quantized/weights.js';
import type { ExportForm } from '../report/report.js';
import { RewriteError } from '../rewrite/error.js';
import { floatType, toFloat32 } from '../tensors/elements.js';
import { float32Tensor } from '../tensors/make.js';
import type { FloatTensor, StoredTensor } from '../tensors/stored-tensor.js';
import type { FusedDescription, RewriteContext } from './fusion.js';
import { baseOutput, innermostLayer, type ProvenLinearModule, recomputedProduct } from './linear-module.js';

/**
 * Writes DoraLinear where nothing else reads the base layer and the settings ask for it, else DoraCompose. A base over a
 * quantized weight stays as it is: runtimes multiply with it in their own way. A further adapter that PEFT composes over the
 * layer's product becomes DoraCompose over that; what it changes is added to the result of the adapters before.
 */
export async function rewriteLinearModule(
  context: RewriteContext,
  module: ProvenLinearModule,
): Promise<MatchResult<FusedDescription>> {
  const { editor, settings } = context;
  const layer = innermostLayer(module.base);
  const asLinear =
    settings.form === 'linear' &&
    module.isLinear &&
    module.base.kind === 'layer' &&
    dequantizedWeight(context, layer.weight.source) === undefined &&
    module.types.weight === module.types.result &&
    module.types.adapter === operatorAdapterType(module) &&
    editor.wouldDie(module.output, layer.nodes, [layer.x]);
  const form = asLinear ? linearForm(module) : composeForm(module);
  const source = gainSource(context, module);
  for (const written of source.scale === 'runtime' ? [form, scaleForm(module)] : [form]) {
    const refusal = editor.refusal(written, module.scaling);
    if (refusal !== undefined) return mismatch(refusal, module.root);
  }
  const gain = await writeGain(context, module, source);
  const product = recomputedProduct(module);
  const term = product === undefined ? undefined : inResultType(context, module, product);
  const inputs = asLinear
    ? [layer.x, layer.weight.value, module.lora.loraA.value, module.lora.loraB.value, gain]
    : [term ?? module.baseValue, adapterResult(context, module), gain];
  if (module.bias !== undefined) inputs.push(inResultType(context, module, module.bias));
  const call = {
    inputs,
    scaling: module.scaling,
    name: context.adapter === undefined ? context.path : `${context.path}/${context.adapter}`,
  };
  const overload =
    term === undefined
      ? editor.replaceByOperator(module.output, form, call)
      : editor.replaceByChange(module.output, form, call, { base: module.baseValue, term });
  return matched({
    operator: form.op,
    overload,
    form: exportForm(module),
    rank: module.rank ?? null,
    scaling: module.scaling,
    dtypes: {
      weight: module.types.weight,
      adapter: module.types.adapter,
      magnitude: module.types.magnitude ?? null,
    },
    weightShape: [module.outFeatures, module.inFeatures],
    bias: module.bias !== undefined,
    ...(module.adapterFactor === 1 ? {} : { adapterFactor: module.adapterFactor }),
    layouts: layouts(module),
    scale: source.scale,
    values: {
      x: plain(context.scope, layer.x),
      y: module.output,
      base: baseOutput(module.base),
      weight: layer.weight.value,
      loraA: module.lora.loraA.value,
      loraB: module.lora.loraB.value,
      lora: module.lora.output,
      magnitude: module.gain.kind === 'norm' ? module.gain.norm.magnitude : null,
      bias: module.bias ?? null,
      ...(product !== undefined && { product }),
      gain,
    },
  });
}

function linearForm(module: ProvenLinearModule): DoraLinearForm {
  return {
    op: 'DoraLinear',
    base: module.types.result,
    adapter: module.types.adapter,
    bias: module.bias !== undefined,
    ...layouts(module),
  };
}

function composeForm(module: ProvenLinearModule): DoraComposeForm {
  return {
    op: 'DoraCompose',
    base: module.types.result,
    lora: operatorAdapterType(module),
    bias: module.bias === undefined ? 'none' : 'inBase',
    channels: module.channels,
  };
}

function layouts(module: ProvenLinearModule) {
  const flag = ({ transposed }: MatrixTrace): Transposed => (transposed ? 1 : 0);
  const { loraA, loraB } = module.lora;
  return { transW: flag(innermostLayer(module.base).weight), transA: flag(loraA), transB: flag(loraB) };
}

function exportForm(module: ProvenLinearModule): ExportForm {
  const { gain, base } = module;
  const chained = recomputedProduct(module) === undefined ? 'adapted' : 'recomputed';
  const layerForm = base.kind === 'layer' ? base.layer.form : chained;
  if (gain.kind !== 'norm') return { norm: 'composeOnly', delta: null, base: layerForm };
  const { delta } = gain.norm;
  const kind = delta.kind === 'constant' ? 'constantDelta' : (delta.eye?.kind ?? 'direct');
  return { norm: 'full', delta: kind, base: layerForm };
}

/** ℓ as DoraCompose takes it: times the scale of the embedding, where that has one. */
function adapterResult({ editor }: RewriteContext, module: ProvenLinearModule) {
  const { output, lora, types, adapterFactor } = module;
  const scaled =
    adapterFactor === 1 ? lora.output : editor.insertScaled(output, lora.output, adapterFactor, types.adapter);
  const type = operatorAdapterType(module);
  return type === types.adapter ? scaled : editor.insertCast(output, scaled, type);
}

/** U: the adapter's own type if the operators take it beside T, else float32. */
function operatorAdapterType({ types }: ProvenLinearModule): FloatType {
  return types.adapter === types.result ? types.adapter : 'float32';
}

/** A value of the layer, its bias or product, as an operator of the result's type takes it. */
function inResultType({ editor, scope }: RewriteContext, { output, types }: ProvenLinearModule, value: string) {
  const type = floatType(scope.elementType(value));
  return type === types.result ? value : editor.insertCast(output, value, types.result);
}

/** Where g comes from. */
type GainSource =
  | { readonly scale: 'constant'; readonly gain: StoredFloats; readonly divisor?: StoredFloats }
  | { readonly scale: 'stored'; readonly request: NormRequest }
  | { readonly scale: 'runtime'; readonly magnitude: string };

interface StoredFloats {
  readonly tensor: StoredTensor;
  readonly type: FloatType;
}

/** @throws RewriteError `scale` where g must be stored and cannot be. */
function gainSource(context: RewriteContext, module: ProvenLinearModule): GainSource {
  if (module.gain.kind === 'constant') {
    return { scale: 'constant', gain: storedFloats(context, module.gain.value) };
  }
  if (module.gain.kind === 'cached') {
    const { magnitude, norm } = module.gain.quotient;
    return { scale: 'constant', gain: storedFloats(context, magnitude), divisor: storedFloats(context, norm) };
  }
  const request = context.settings.scale === 'runtime' ? undefined : normRequest(context, module);
  if (request !== undefined) return { scale: 'stored', request };
  if (context.settings.scale === 'stored') {
    throw new RewriteError(
      'scale',
      `${context.path}: g cannot be stored, because W, A, B or m is not a constant of the model; use --scale auto or runtime`,
    );
  }
  return { scale: 'runtime', magnitude: plain(context.scope, module.gain.norm.magnitude) };
}

/** The numbers of a value that was proved to be constant. */
function storedFloats({ tensor, scope }: RewriteContext, value: string): StoredFloats {
  const found = tensor(unwiden(scope, value));
  const type = floatType(found?.dataType);
  if (found === undefined || type === undefined) throw new Error(`"${value}" was proved to be constant`);
  return { tensor: found, type };
}

/** g as a float32 value `[out]` of the rewritten graph. */
async function writeGain(context: RewriteContext, module: ProvenLinearModule, source: GainSource): Promise<string> {
  const { editor, path, adapter } = context;
  const name = [path, 'dora_gain', adapter].filter((part) => part !== undefined).join('.');
  if (source.scale === 'runtime') {
    const { weight } = innermostLayer(module.base);
    return editor.insertOperator(module.output, scaleForm(module), {
      inputs: scaleInputs(
        context,
        module,
        [weight.value, module.lora.loraA.value, module.lora.loraB.value],
        source.magnitude,
      ),
      output: name,
      scaling: module.scaling,
      name: `${path}/DoraScale${adapter === undefined ? '' : `/${adapter}`}`,
    });
  }
  const values = source.scale === 'constant' ? await constantGain(source) : context.gains.add(source.request);
  return editor.addConstant(module.output, float32Tensor(name, [values.length], values));
}

/** g as the export holds it, or m over the norm that it holds. */
async function constantGain({ gain, divisor }: GainSource & { scale: 'constant' }): Promise<Float32Array> {
  const values = toFloat32(await gain.tensor.read(), gain.type);
  if (divisor === undefined) return values;
  const norm = toFloat32(await divisor.tensor.read(), divisor.type);
  return values.map((value, index) => value / norm[index]!);
}

/** W, A, B and m as DoraScale takes them: the weights of convolutions as matrices with a row an output. */
function scaleInputs(
  { editor }: RewriteContext,
  { output, channels }: ProvenLinearModule,
  matrices: readonly string[],
  magnitude: string,
): string[] {
  if (channels.axis === -1) return [...matrices, magnitude];
  return [
    ...matrices.map((matrix) => editor.insertReshape(output, matrix, [0, -1])),
    editor.insertReshape(output, magnitude, [-1]),
  ];
}

function scaleForm(module: ProvenLinearModule): DoraScaleForm {
  return {
    op: 'DoraScale',
    weight: module.types.weight,
    adapter: module.types.adapter,
    magnitude: module.types.magnitude ?? 'float32',
    ...layouts(module),
  };
}

/** The norm's inputs, where all of them are constants. */
function normRequest(context: RewriteContext, module: ProvenLinearModule): NormRequest | undefined {
  if (module.gain.kind !== 'norm') return undefined;
  const layer = innermostLayer(module.base);
  const { loraA, loraB } = module.lora;
  const { rank } = module;
  const stored = (value: string): FloatTensor | undefined => {
    const tensor = context.tensor(value);
    const type = floatType(tensor?.dataType);
    if (tensor === undefined || type === undefined) return undefined;
    return {
      name: tensor.name,
      dataType: tensor.dataType,
      dims: tensor.dims,
      byteLength: tensor.byteLength,
      type,
      read: (start, end, into) => tensor.read(start, end, into),
    };
  };
  const weight = stored(layer.weight.source) ?? dequantizedWeight(context, layer.weight.source);
  const a = stored(loraA.source);
  const b = stored(loraB.source);
  const magnitude = stored(uncast(context.scope, module.gain.norm.magnitude));
  if (weight === undefined || a === undefined || b === undefined || magnitude === undefined) return undefined;
  if (a.type !== b.type || rank === undefined) return undefined;
  return {
    path: context.path,
    weight,
    loraA: a,
    loraB: b,
    magnitude,
    transW: layer.weight.sourceTransposed ? 1 : 0,
    transA: loraA.sourceTransposed ? 1 : 0,
    transB: loraB.sourceTransposed ? 1 : 0,
    scaling: module.scaling,
    outFeatures: module.outFeatures,
    inFeatures: module.inFeatures,
    rank,
    ...(context.signal === undefined ? {} : { signal: context.signal }),
  };
}

/** The numbers of a weight that the graph dequantizes from constants. */
function dequantizedWeight({ scope, tensor }: RewriteContext, value: string): FloatTensor | undefined {
  if (tensor(value) !== undefined) return undefined;
  const found = matchDequantizedWeight(scope, value, tensor);
  return found.matched ? found.value.numbers : undefined;
}
