export { type Adapter, type OpenOptions, openAdapter } from './adapter.js';
export { type BankRow, type BankSlot, type DoraModule, fillBankRow, type GainCompute } from './bank/fill-row.js';
export {
  BANK_INPUTS,
  BANK_LAYOUT_METADATA,
  type BankLayout,
  type BankModule,
  formatBankLayout,
  parseBankLayout,
  planBank,
} from './bank/layout.js';
export { type AdapterConfig, parseAdapterConfig } from './config.js';
export { AdapterError, type AdapterErrorCode } from './errors.js';
export type { AdapterModule, ModuleKind } from './modules.js';
export { reconstructConfig } from './reconstruct-config.js';
export { ELEMENT_BYTES, type FloatType } from './safetensors/dtype.js';
export type { AdapterTensor } from './safetensors/file.js';
export type { TensorContents } from './safetensors/write.js';
export { type AdapterContents, type ModuleContents, writeAdapter } from './write-adapter.js';
