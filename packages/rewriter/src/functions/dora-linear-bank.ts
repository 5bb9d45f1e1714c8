import { chooseAndJoin, extent, lowRankProduct, runAdapters, splitIntoRuns } from './bank-adapters.js';
import { BodyWriter } from './body.js';
import { type BodyOptions, type DoraLinearBankForm, productType } from './form.js';

/**
 * Body of DoraLinearBank: `x·Wᵀ` of all rows at once, then `g·(base + s·(x·Aᵀ)·Bᵀ) + bias` with the adapter of each run,
 * composed in float32 and rounded once.
 */
export function doraLinearBankBody(form: DoraLinearBankForm, options: BodyOptions): BodyWriter {
  const inputNames = ['x', 'W', 'bank', 'gains', 'scaling', 'rank', 'slot', 'bias'];
  const body = new BodyWriter(options.opset, inputNames);
  const x = { name: 'x', type: form.base };
  const inputs = extent(body, 'W', form.transW === 1 ? 0 : 1, 'in');
  const outputs = extent(body, 'W', form.transW === 1 ? 1 : 0, 'out');

  const baseType = productType(form.base, options.target);
  const w = body.cast({ name: 'W', type: form.base }, baseType);
  const wt = form.transW === 1 ? w : body.transpose(w);
  const base = body.cast(body.binary('MatMul', body.cast(x, baseType), wt, 'base'), 'float32');

  const adapters = runAdapters(body, form, options, { inputs, outputs });
  const lora = lowRankProduct(body, splitIntoRuns(body, x, adapters.runs, inputs), adapters);
  const baseOfRuns = splitIntoRuns(body, base, adapters.runs, outputs);
  const gained = body.binary('Mul', body.binary('Add', baseOfRuns, lora, 'sum'), adapters.g, 'gained');
  const y = chooseAndJoin(body, adapters, baseOfRuns, gained, base.name);
  const bias = form.bias ? body.cast({ name: 'bias', type: form.base }, 'float32') : undefined;
  body.output(bias === undefined ? y : body.binary('Add', y, bias, 'biased'), 'y', form.base);
  return body;
}
