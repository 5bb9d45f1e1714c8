import { BodyWriter } from './body.js';
import type { BodyOptions, DoraScaleForm } from './form.js';

/**
 * Body of DoraScale: the plain dense form, in float32, with no epsilon (PEFT `DoraLinearLayer.get_weight_norm`).
 *
 * The sum is formed in W's own stored layout, so that only the small factors are ever transposed.
 */
export function doraScaleBody(form: DoraScaleForm, options: BodyOptions, scaling: number | undefined): BodyWriter {
  const body = new BodyWriter(options.opset, ['W', 'A', 'B', 'm']);
  const w = body.cast({ name: 'W', type: form.weight }, 'float32');
  const a = body.cast({ name: 'A', type: form.adapter }, 'float32');
  const b = body.cast({ name: 'B', type: form.adapter }, 'float32');
  const m = body.cast({ name: 'm', type: form.magnitude }, 'float32');
  const left = form.transW === 0 ? b : a;
  const right = form.transW === 0 ? a : b;
  const leftStored = form.transW === 0 ? form.transB === 0 : form.transA === 1;
  const rightStored = form.transW === 0 ? form.transA === 0 : form.transB === 1;
  const delta = body.binary(
    'MatMul',
    leftStored ? left : body.transpose(left),
    rightStored ? right : body.transpose(right),
    'delta',
  );
  const adapted = body.binary('Add', w, body.binary('Mul', delta, body.scaling(scaling), 'scaled'), 'adapted');
  body.output(body.binary('Div', m, body.norm(adapted, form.transW === 0 ? 1 : 0), 'quotient'), 'g', 'float32');
  return body;
}
