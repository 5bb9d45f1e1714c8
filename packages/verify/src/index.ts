export { VerifyError, type VerifyErrorCode } from './error.js';
export { type NpzLimits, readNpz, readNpzFile } from './inputs/npz.js';
export type { ModuleDescription } from './module-description.js';
export type {
  Execution,
  ModuleName,
  ModuleResult,
  OutputFigure,
  OutputResult,
  RunRecord,
  UncheckedModule,
  VerificationResult,
} from './result.js';
export type { ElementType, TensorData } from './tensor.js';
export { type VerifyOptions, verifyModels } from './verify-models.js';
