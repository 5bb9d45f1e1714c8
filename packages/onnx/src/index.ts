export {
  type AttributeValue,
  findAttribute,
  floatAttribute,
  intAttribute,
  intsAttribute,
  makeAttribute,
  stringAttribute,
  tensorAttribute,
} from './attributes.js';
export { removeDeadNodes } from './dead-nodes.js';
export type { DecodeLimits } from './decode.js';
export {
  type ElementType,
  type ElementTypeName,
  elementTypeOf,
  isElementType,
} from './element-types.js';
export { OnnxError, type OnnxErrorCode, type OnnxErrorPlace } from './errors.js';
export {
  type ExternalLocation,
  externalLocation,
  externalTensors,
  isExternal,
  setExternalLocation,
} from './external-data.js';
export {
  type Dimension,
  makeEntries,
  makeFunction,
  makeGraph,
  makeModel,
  makeNode,
  makeOpsets,
  makeTensor,
  makeTensorType,
  makeValueInfo,
} from './factories.js';
export * from './messages.js';
export { getMetadata, type HasMetadata, setMetadata } from './metadata.js';
export { decodeModel, encodeModel, encodeModelChunks } from './model-codec.js';
export { type ByteRange, ModelFile, type OpenOptions, openModel, type TensorElements } from './model-file.js';
export { ModelView } from './model-view.js';
export { firstUnsorted, sortNodes } from './node-order.js';
export { type Definition, Scope, type TensorType, type Use } from './scope.js';
export {
  asElements,
  describeTensor,
  type ElementArray,
  inlineBytes,
  type TensorDescription,
  toFloat32,
} from './tensor.js';
export { validateModel } from './validate.js';
export { visitTensors } from './walk.js';
export { writeFileAtomically, writeModel } from './write-model.js';
