/** Element types that adapters are stored in, named as in onnxruntime-common. */
export type FloatType = 'float32' | 'float16' | 'bfloat16';

/** The three as safetensors calls them. */
export const DTYPE: Readonly<Record<FloatType, string>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

export const ELEMENT_BYTES: Readonly<Record<FloatType, number>> = { float32: 4, float16: 2, bfloat16: 2 };

const FLOAT_TYPE: ReadonlyMap<string, FloatType> = new Map(
  Object.entries(DTYPE).map(([type, name]) => [name, type as FloatType]),
);

/** The element type of that safetensors name; undefined for any other. */
export const floatType = (name: string): FloatType | undefined => FLOAT_TYPE.get(name);
