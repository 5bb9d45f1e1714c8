import { BodyWriter } from './body.js';
import type { BodyOptions, DoraComposeForm } from './form.js';

/**
 * Body of DoraCompose, in float32 and rounded once.
 *
 * Where the base holds the bias, the form is PEFT's own, `base + ((g−1)·(base − bias) + g·s·lora)`: what g near 1
 * changes is computed apart and added last, so that it is not rounded away with the base.
 */
export function doraComposeBody(form: DoraComposeForm, options: BodyOptions, scaling: number | undefined): BodyWriter {
  const body = new BodyWriter(options.opset, ['base', 'lora', 'g', 'bias']);
  const perChannel = (vector: { name: string; type: 'float32' }) =>
    form.channels.axis === -1 ? vector : body.appendAxes(vector, form.channels.rank - 2);

  const base = body.cast({ name: 'base', type: form.base }, 'float32');
  const lora = body.cast({ name: 'lora', type: form.lora }, 'float32');
  const g = perChannel({ name: 'g', type: 'float32' });
  const s = body.scaling(scaling);
  if (form.bias === 'inBase') {
    const bias = perChannel({ ...body.cast({ name: 'bias', type: form.base }, 'float32'), type: 'float32' });
    const excess = body.binary('Sub', g, body.scalar('one', 1), 'excess');
    const change = body.binary('Mul', body.binary('Sub', base, bias, 'unbiased'), excess, 'change');
    const adapted = body.binary('Mul', lora, body.binary('Mul', g, s, 'gain'), 'adapted');
    const sum = body.binary('Add', change, adapted, 'sum');
    body.output(body.binary('Add', base, sum, 'result'), 'y', form.base);
    return body;
  }
  const sum = body.binary('Add', base, body.binary('Mul', lora, s, 'scaled'), 'sum');
  const gained = body.binary('Mul', sum, g, 'gained');
  if (form.bias === 'none') {
    body.output(gained, 'y', form.base);
    return body;
  }
  const bias = perChannel({ ...body.cast({ name: 'bias', type: form.base }, 'float32'), type: 'float32' });
  body.output(body.binary('Add', gained, bias, 'biased'), 'y', form.base);
  return body;
}
