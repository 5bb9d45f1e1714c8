/** The weights of a model with a bank: what the gains of adapters that are filled into it are computed from. */

import type { GainCompute } from '@ort-dora/adapters';
import { openModel, type Scope } from '@ort-dora/onnx';
import { DORA_DOMAIN } from '../functions/function.js';
import { matchScopes } from '../match/model-facts.js';
import type { MatchScope } from '../match/scope.js';
import { traceMatrix } from '../match/trace.js';
import { denseNorms } from '../norm/dense.js';
import { type NormCompute, normOf } from '../norm/norm.js';
import { RewriteError } from '../rewrite/error.js';
import { readSmallTensors } from '../rewrite/rewrite-proto.js';
import { fileTensors } from '../tensors/file.js';
import { attachModule } from './adapter-module.js';
import { openBase } from './attach-graph.js';
import { type BaseLayer, storedWeight } from './base-layers.js';
import { segmentsOf } from './layer-names.js';
import { type NormWeight, normRequest } from './norm-request.js';
import { FITS, fitOf } from './paths.js';

export interface BankWeights extends AsyncDisposable {
  /** g of a module for `fillBankRow`, computed on W as the model stores it, dequantized where it is quantized. */
  readonly gainOf: GainCompute;
  close(): Promise<void>;
}

/**
 * Opens a model that `attachBank` wrote. Weights are read when a gain is computed; close it when all adapters are filled.
 *
 * @param compute default: {@link denseNorms}, in float64 and slow
 * @throws OnnxError for a bad file; `gainOf` throws RewriteError `targets` for a module that the bank has no operator for
 */
export async function openBankWeights(
  modelPath: string,
  { compute = denseNorms, signal }: { readonly compute?: NormCompute; readonly signal?: AbortSignal } = {},
): Promise<BankWeights> {
  const file = await openModel(modelPath);
  const close = () => file.close();
  try {
    const tensors = fileTensors(file);
    const smallConstants = await readSmallTensors(file.model, tensors);
    const { view, layers } = openBase(file.model, tensors, smallConstants);
    const facts = matchScopes(view, smallConstants);
    const weights = new Map<string, NormWeight>();
    for (const scope of view.main.withInner()) {
      for (const [path, weight] of weightsOf(scope, facts.get(scope)!, layers, tensors)) weights.set(path, weight);
    }
    const gainOf: GainCompute = async (module) => {
      const weight = weights.get(pathIn(weights, module.path));
      const request = weight && normRequest(attachModule(module), weight, signal);
      if (request === undefined) {
        throw new RewriteError('targets', `${module.path}: ${modelPath} has no bank operator of that path`);
      }
      return normOf(compute, request);
    };
    return { gainOf, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** W of each bank operator of a graph, by the operator's name, which is the module's path. */
function* weightsOf(
  scope: Scope,
  facts: MatchScope,
  layers: readonly BaseLayer[],
  tensors: ReturnType<typeof fileTensors>,
): Generator<readonly [path: string, weight: NormWeight]> {
  const constant = (value: string) => {
    const tensor = facts.constant(value);
    return tensor === undefined ? undefined : tensors(tensor);
  };
  for (const { domain, opType, name = '', input, attribute } of scope.nodes) {
    if (domain !== DORA_DOMAIN) continue;
    const [, read = ''] = input;
    if (opType === 'DoraLinearBank') {
      const found = storedWeight(facts, traceMatrix(facts, read), constant);
      if (!found.matched) continue;
      const { numbers, numbersTransposed } = found.value;
      const transW = Number(attribute.find((each) => each.name === 'transW')?.i ?? 0n);
      yield [name, { kind: 'linear', numbers, numbersTransposed: transW === numbersTransposed ? 0 : 1 }];
    } else if (opType === 'DoraComposeBank') {
      const layer = layers.find(
        (each) => each.scope === scope && (each.bias?.addition?.output[0] ?? each.product) === read,
      );
      if (layer !== undefined) yield [name, { ...layer.weight, kind: layer.kind }];
    }
  }
}

/** The very path, or the one that fits it best. */
function pathIn(weights: ReadonlyMap<string, unknown>, path: string): string {
  if (weights.has(path)) return path;
  const rank = (known: string) => {
    const fit = fitOf(segmentsOf(path), segmentsOf(known));
    return fit === undefined || fit === 'thinned' ? FITS.length : FITS.indexOf(fit);
  };
  const best = [...weights.keys()].sort((left, right) => rank(left) - rank(right))[0];
  return best !== undefined && rank(best) < FITS.length ? best : '';
}
