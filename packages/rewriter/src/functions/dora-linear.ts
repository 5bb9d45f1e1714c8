import { BodyWriter } from './body.js';
import { type BodyOptions, type DoraLinearForm, productType } from './form.js';

/**
 * Body of DoraLinear: `g·(x·Wᵀ + s·(x·Aᵀ)·Bᵀ) + bias`, composed in float32 and rounded once.
 *
 * With float32 adapters `s` goes into B, which folds at load where B is an initializer: three products and, with a
 * bias, three elementwise nodes are left. In half precision B is left alone, since scaling would round it.
 */
export function doraLinearBody(form: DoraLinearForm, options: BodyOptions, scaling: number | undefined): BodyWriter {
  const body = new BodyWriter(options.opset, ['x', 'W', 'A', 'B', 'g', 'bias']);
  const x = { name: 'x', type: form.base };

  const baseType = productType(form.base, options.target);
  const w = body.cast({ name: 'W', type: form.base }, baseType);
  const wt = form.transW === 1 ? w : body.transpose(w);
  const base = body.cast(body.binary('MatMul', body.cast(x, baseType), wt, 'base'), 'float32');

  const adapterType = productType(form.adapter, options.target);
  const a = body.cast({ name: 'A', type: form.adapter }, adapterType);
  const b = body.cast({ name: 'B', type: form.adapter }, adapterType);
  const at = form.transA === 1 ? a : body.transpose(a);
  const bt = form.transB === 1 ? b : body.transpose(b);
  const s = body.scaling(scaling);
  const reduced = body.binary('MatMul', body.cast(x, adapterType), at, 'reduced');
  const lora =
    adapterType === 'float32'
      ? body.binary('MatMul', reduced, body.binary('Mul', bt, s, 'scaled'), 'lora')
      : body.binary('Mul', body.cast(body.binary('MatMul', reduced, bt, 'expanded'), 'float32'), s, 'lora');

  const sum = body.binary('Add', base, lora, 'sum');
  const gained = body.binary('Mul', sum, { name: 'g', type: 'float32' }, 'gained');
  const bias = form.bias ? body.cast({ name: 'bias', type: form.base }, 'float32') : undefined;
  body.output(bias === undefined ? gained : body.binary('Add', gained, bias, 'biased'), 'y', form.base);
  return body;
}
