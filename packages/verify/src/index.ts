export { VerifyError, type VerifyErrorCode } from './error.js';
export { type NpzLimits, readNpz, readNpzFile } from './inputs/npz.js';
