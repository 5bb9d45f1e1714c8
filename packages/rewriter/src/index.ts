export { attachBank, type BankModuleReport, type BankOptions, type BankReport } from './attach/attach-bank.js';
export {
  type AttachFile,
  type AttachOptions,
  type AttachProgress,
  attachAdapter,
} from './attach/attach-model.js';
export { type BankWeights, openBankWeights } from './attach/bank-weights.js';
export {
  ADAPTER_CONFIG_METADATA,
  MODULES_METADATA,
  type Provenance,
  readProvenance,
} from './attach/provenance.js';
export {
  type ExtractedModule,
  type ExtractOptions,
  type ExtractProgress,
  type ExtractReport,
  extractAdapter,
} from './extract/extract-model.js';
export {
  type BankForm,
  type BodyOptions,
  type BodyTarget,
  type ChannelAxis,
  type DoraComposeBankForm,
  type DoraComposeForm,
  type DoraComposeGradForm,
  type DoraLinearBankForm,
  type DoraLinearForm,
  type DoraScaleForm,
  type FloatType,
  isBankForm,
  type Layouts,
  OLDEST_OPSET,
  type OperatorForm,
  type OperatorName,
  overloadName,
  type Transposed,
} from './functions/form.js';
export {
  type BankPlace,
  DORA_DOMAIN,
  DORA_OPSET_VERSION,
  makeOperatorModel,
  type OperatorAttributes,
  type OperatorSignature,
  type OperatorValue,
  operatorFunction,
  operatorNode,
  operatorSignature,
} from './functions/function.js';
export {
  factorsOf,
  type MergeCompute,
  type MergedAdapter,
  type MergeRequest,
  storedShape,
} from './merge/merge-compute.js';
export { mergeExactly } from './merge/merge-exactly.js';
export { type MergeOptions, type MergeProgress, mergeModel } from './merge/merge-model.js';
export { mergePage } from './merge/merge-page.js';
export {
  type Cost,
  type MergedModuleReport,
  type MergeReport,
  type MergeTotals,
  mergeTotals,
  type UnmergedModuleReport,
} from './merge/merge-report.js';
export type { RoundingError } from './merge/rounding-sample.js';
export { denseNorm, denseNorms } from './norm/dense.js';
export { type NormCompute, type NormRequest, normOf } from './norm/norm.js';
export type { NormProgress } from './norm/pending-gains.js';
export { reportPage } from './report/html.js';
export { type ModuleGraph, readModuleGraphs } from './report/module-graph/module-graphs.js';
export type { PageContext } from './report/page/frame.js';
export {
  type AlreadyFusedModuleReport,
  type ExportForm,
  type FusedModuleReport,
  type FusedValues,
  type ModuleKind,
  type ModuleReport,
  type NodeReference,
  REPORT_SCHEMA_VERSION,
  type ReportOptions,
  type ReportTotals,
  type ReportVerification,
  type RewriteReport,
  reportJson,
  type SkippedModuleReport,
} from './report/report.js';
export type { DetailedVerification } from './report/verification.js';
export { type VerificationSubject, verificationPage } from './report/verification-page.js';
export { RewriteError, type RewriteErrorCode } from './rewrite/error.js';
export type { InspectOptions, RewriteOptions, RewriteProgress, RewriteResult } from './rewrite/options.js';
export { inspectModel, rewriteModel } from './rewrite/rewrite-model.js';
export { inspectModelProto, rewriteModelProto, type TensorSource } from './rewrite/rewrite-proto.js';
export { DATA_TYPE } from './tensors/elements.js';
export { fileTensors } from './tensors/file.js';
export { inlineTensor } from './tensors/inline.js';
export type { FloatTensor, StoredTensor } from './tensors/stored-tensor.js';
