/** Options of the commands that write operators: which ones, and for which device. */

import { Option } from 'commander';

export interface FormOptions {
  readonly form: 'linear' | 'compose';
  readonly target: 'auto' | 'cpu' | 'cuda';
}

export const formOption = () =>
  new Option('--form <FORM>', 'one operator, or one beside the visible base MatMul')
    .choices(['linear', 'compose'])
    .default('linear');

export const targetOption = () =>
  new Option('--target <DEVICE>', 'device that bfloat16 function bodies are written for')
    .choices(['auto', 'cpu', 'cuda'])
    .default('auto');

/** Those that are not the default, to be typed again. */
export const typedForm = ({ form, target }: FormOptions) => ({
  form: form === 'linear' ? undefined : form,
  target: target === 'auto' ? undefined : target,
});
