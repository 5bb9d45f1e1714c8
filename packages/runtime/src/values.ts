// What goes into and comes out of a session.
import type { ElementData, ElementType } from './element-types.js';
import type { NativeTensor } from './native-tensor.js';

/** A tensor in the memory of JavaScript: row-major, `dims` in elements. */
export interface TensorData<T extends ElementType = ElementType> {
  readonly type: T;
  readonly data: ElementData[T];
  readonly dims: readonly number[];
}

export type Value = TensorData | NativeTensor;

/** An input or output of a model. A dimension is a length, or the name of a symbolic one (empty where it has none). */
export type ValueInfo =
  | {
      readonly name: string;
      readonly isTensor: true;
      readonly type: ElementType;
      readonly shape: readonly (number | string)[];
    }
  | { readonly name: string; readonly isTensor: false };
