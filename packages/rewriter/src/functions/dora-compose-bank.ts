import { chooseAndJoin, extent, lowRankProduct, runAdapters, splitIntoRuns } from './bank-adapters.js';
import { BodyWriter } from './body.js';
import type { BodyOptions, DoraComposeBankForm } from './form.js';

/**
 * Body of DoraComposeBank: what `doraComposeBody` makes of `base` and the low-rank product `(x·Aᵀ)·Bᵀ`, with the adapter
 * of each run of rows.
 */
export function doraComposeBankBody(form: DoraComposeBankForm, options: BodyOptions): BodyWriter {
  const inputNames = ['x', 'base', 'bank', 'gains', 'scaling', 'rank', 'slot', 'bias'];
  const body = new BodyWriter(options.opset, inputNames);
  const inputs = extent(body, 'x', -1, 'in');
  const outputs = extent(body, 'base', -1, 'out');
  const adapters = runAdapters(body, form, options, { inputs, outputs });
  const { g } = adapters;

  const x = splitIntoRuns(body, { name: 'x', type: form.base }, adapters.runs, inputs);
  const lora = lowRankProduct(body, x, adapters);
  const base = splitIntoRuns(body, body.cast({ name: 'base', type: form.base }, 'float32'), adapters.runs, outputs);
  const bias = form.bias === 'none' ? undefined : body.cast({ name: 'bias', type: form.base }, 'float32');

  if (form.bias === 'inBase') {
    const excess = body.binary('Sub', g, body.scalar('unit', 1), 'excess');
    const change = body.binary('Mul', body.binary('Sub', base, bias!, 'unbiased'), excess, 'change');
    const sum = body.binary('Add', change, body.binary('Mul', lora, g, 'adapted'), 'sum');
    const adapted = body.binary('Add', base, sum, 'result');
    body.output(chooseAndJoin(body, adapters, base, adapted, 'base'), 'y', form.base);
    return body;
  }
  const gained = body.binary('Mul', body.binary('Add', base, lora, 'sum'), g, 'gained');
  const y = chooseAndJoin(body, adapters, base, gained, 'base');
  body.output(bias === undefined ? y : body.binary('Add', y, bias, 'biased'), 'y', form.base);
  return body;
}
