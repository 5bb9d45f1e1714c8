// Sessions over ONNX Runtime: what other packages use of this one.
export { describeRuntime, type RuntimeDescription } from './describe.js';
export {
  dataLength,
  ELEMENT_TYPES,
  type ElementData,
  type ElementType,
  isElementType,
  typedArrayClass,
} from './element-types.js';
export type { Backend } from './engine.js';
export { type OrtStatus, RuntimeError, type RuntimeErrorCode } from './errors.js';
export { NativeTensor } from './native-tensor.js';
export { createSession, type Feeds, type Fetches, type Results, type RunOptions, type Session } from './session.js';
export type { ProviderOptions, SessionOptions } from './session-options.js';
export type { TensorData, Value, ValueInfo } from './values.js';
