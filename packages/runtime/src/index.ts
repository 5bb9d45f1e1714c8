// Sessions over ONNX Runtime: what other packages use of this one.
export { BoundRun, type BoundRunOptions } from './bound-run.js';
export { type CudaDescription, type CudaDevice, describeCuda } from './cuda/describe-cuda.js';
export { cudaMemory } from './cuda/memory.js';
export type { CudaProviderOptions } from './cuda/provider-options.js';
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
export { type LoadInitializersOptions, loadInitializers } from './load-initializers.js';
export { NativeTensor } from './native-tensor.js';
export {
  type BindOptions,
  type BoundTensors,
  createSession,
  type Feeds,
  type Fetches,
  type Results,
  type RunOptions,
  type Session,
} from './session.js';
export type { OtherProviderOptions, ProviderOptions, SessionOptions } from './session-options.js';
export type { TensorData, Value, ValueInfo } from './values.js';
