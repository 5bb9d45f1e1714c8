import { BodyWriter } from './body.js';
import type { BodyOptions, DoraComposeGradForm } from './form.js';

/**
 * Body of DoraComposeGrad: `d_base = g·dy`, `d_lora = s·g·dy`, `d_g = Σ dy·(base + s·lora)` over all rows, in float32.
 */
export function doraComposeGradBody(
  form: DoraComposeGradForm,
  options: BodyOptions,
  scaling: number | undefined,
): BodyWriter {
  const body = new BodyWriter(options.opset, ['dy', 'base', 'lora', 'g']);
  const dy = body.cast({ name: 'dy', type: form.base }, 'float32');
  const base = body.cast({ name: 'base', type: form.base }, 'float32');
  const lora = body.cast({ name: 'lora', type: form.lora }, 'float32');
  const s = body.scaling(scaling);
  const gained = body.binary('Mul', dy, { name: 'g', type: 'float32' }, 'gained');
  const scaledGained = body.binary('Mul', gained, s, 'scaled_gained');
  const sum = body.binary('Add', base, body.binary('Mul', lora, s, 'scaled'), 'sum');
  const contribution = body.sumRows(body.binary('Mul', dy, sum, 'contribution'), 'contribution_sum');
  body.output(gained, 'd_base', form.base);
  body.output(scaledGained, 'd_lora', form.lora);
  body.output(contribution, 'd_g', 'float32');
  return body;
}
