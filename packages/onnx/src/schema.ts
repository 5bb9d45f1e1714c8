/**
 * The wire schema: which field of which message has which number and type. The numbers are those of onnx.proto as of
 * ONNX 1.23 (IR version 14); test/schema.test.ts holds them against the .proto file (docs/decisions/0004-onnx-schema.md).
 */
import type * as onnx from './messages.js';

/** How a field's value is written. Enums are int32. */
export type ScalarKind = 'string' | 'bytes' | 'int32' | 'int64' | 'uint64' | 'float' | 'double';

/** The typed array that holds a repeated numeric field of a tensor; such fields are written packed. */
export type TypedStore = 'Float32Array' | 'Float64Array' | 'Int32Array' | 'BigInt64Array' | 'BigUint64Array';

export interface Field {
  readonly number: number;
  /** The property's name. */
  readonly name: string;
  readonly kind: ScalarKind | 'message';
  readonly repeated: boolean;
  readonly store: TypedStore | undefined;
  /** Fields of one oneof exclude one another. */
  readonly oneof: string | undefined;
  /** The schema of a field of kind 'message'; a function, since messages refer to one another in circles. */
  readonly message: () => Schema<object>;
  /**
   * Decoded when it is first read (deferred.ts): of messages that are elements of a repeated field only. What is deferred holds
   * no repeated numbers.
   */
  readonly deferred: boolean;
  /** Place in {@link Schema.fields}. */
  readonly index: number;
}

export interface Schema<T extends object> {
  readonly name: string;
  /** In the order of their numbers, which is the order of canonical encoding. */
  readonly fields: readonly Field[];
  readonly byNumber: readonly (Field | undefined)[];
  readonly hasOneof: boolean;
  /** A message with nothing in it. */
  readonly create: () => T;
  /** The fields that are decoded when they are first read, and a message with nothing in it that lacks them. */
  readonly deferred: readonly Field[];
  readonly createBare: () => Partial<T>;
}

interface FieldOptions {
  readonly repeated?: true;
  readonly store?: TypedStore;
  readonly oneof?: string;
  readonly deferred?: true;
}
// biome-ignore lint/suspicious/noExplicitAny: rows of one table refer to schemas of every message
type FieldType = ScalarKind | (() => Schema<any>);
type FieldRow = readonly [number: number, type: FieldType, options?: FieldOptions];

function schema<T extends object>(
  name: string,
  create: () => T,
  rows: { readonly [K in keyof Required<T>]: FieldRow },
  createBare: () => Partial<T> = create,
): Schema<T> {
  const fields = Object.entries<FieldRow>(rows)
    .sort(([, a], [, b]) => a[0] - b[0])
    .map(([property, [number, type, options]], index): Field => {
      return {
        number,
        name: property,
        kind: typeof type === 'function' ? 'message' : type,
        repeated: options?.repeated === true,
        store: options?.store,
        oneof: options?.oneof,
        message: typeof type === 'function' ? type : noMessage,
        deferred: options?.deferred === true,
        index,
      };
    });
  const byNumber: (Field | undefined)[] = new Array(fields[fields.length - 1]!.number + 1).fill(undefined);
  for (const field of fields) byNumber[field.number] = field;
  const hasOneof = fields.some((field) => field.oneof !== undefined);
  return { name, fields, byNumber, create, hasOneof, deferred: fields.filter((field) => field.deferred), createBare };
}

function noMessage(): never {
  throw new TypeError('a scalar field has no message schema');
}

const many = { repeated: true } as const;
const deferred = { repeated: true, deferred: true } as const;
const value = { oneof: 'value' } as const;
const stored = (store: TypedStore) => ({ repeated: true, store }) as const;

// Empty typed arrays hold nothing that could be changed, so all tensors share them.
const NO_FLOATS = new Float32Array(0);
const NO_DOUBLES = new Float64Array(0);
const NO_INT32 = new Int32Array(0);
const NO_INT64 = new BigInt64Array(0);
const NO_UINT64 = new BigUint64Array(0);

export const MODEL: Schema<onnx.ModelProto> = schema(
  'ModelProto',
  (): onnx.ModelProto => ({
    irVersion: undefined,
    producerName: undefined,
    producerVersion: undefined,
    domain: undefined,
    modelVersion: undefined,
    docString: undefined,
    graph: undefined,
    opsetImport: [],
    metadataProps: [],
    trainingInfo: [],
    functions: [],
    configuration: [],
  }),
  {
    irVersion: [1, 'int64'],
    producerName: [2, 'string'],
    producerVersion: [3, 'string'],
    domain: [4, 'string'],
    modelVersion: [5, 'int64'],
    docString: [6, 'string'],
    graph: [7, () => GRAPH],
    opsetImport: [8, () => OPERATOR_SET_ID, many],
    metadataProps: [14, () => STRING_STRING_ENTRY, many],
    trainingInfo: [20, () => TRAINING_INFO, many],
    functions: [25, () => FUNCTION, many],
    configuration: [26, () => DEVICE_CONFIGURATION, many],
  },
);

export const GRAPH: Schema<onnx.GraphProto> = schema(
  'GraphProto',
  (): onnx.GraphProto => ({
    node: [],
    name: undefined,
    initializer: [],
    docString: undefined,
    input: [],
    output: [],
    valueInfo: [],
    quantizationAnnotation: [],
    sparseInitializer: [],
    metadataProps: [],
  }),
  {
    node: [1, () => NODE, many],
    name: [2, 'string'],
    initializer: [5, () => TENSOR, many],
    docString: [10, 'string'],
    input: [11, () => VALUE_INFO, many],
    output: [12, () => VALUE_INFO, many],
    valueInfo: [13, () => VALUE_INFO, many],
    quantizationAnnotation: [14, () => TENSOR_ANNOTATION, many],
    sparseInitializer: [15, () => SPARSE_TENSOR, many],
    metadataProps: [16, () => STRING_STRING_ENTRY, many],
  },
);

const bareNode = () => ({
  input: [],
  output: [],
  name: undefined,
  opType: undefined,
  attribute: [],
  docString: undefined,
  domain: undefined,
  overload: undefined,
  deviceConfigurations: [],
});

export const NODE: Schema<onnx.NodeProto> = schema(
  'NodeProto',
  (): onnx.NodeProto => ({ ...bareNode(), metadataProps: [] }),
  {
    input: [1, 'string', many],
    output: [2, 'string', many],
    name: [3, 'string'],
    opType: [4, 'string'],
    attribute: [5, () => ATTRIBUTE, many],
    docString: [6, 'string'],
    domain: [7, 'string'],
    overload: [8, 'string'],
    metadataProps: [9, () => STRING_STRING_ENTRY, deferred],
    deviceConfigurations: [10, () => NODE_DEVICE_CONFIGURATION, many],
  },
  bareNode,
);

export const ATTRIBUTE: Schema<onnx.AttributeProto> = schema(
  'AttributeProto',
  (): onnx.AttributeProto => ({
    name: undefined,
    f: undefined,
    i: undefined,
    s: undefined,
    t: undefined,
    g: undefined,
    floats: [],
    ints: [],
    strings: [],
    tensors: [],
    graphs: [],
    docString: undefined,
    tp: undefined,
    typeProtos: [],
    type: undefined,
    refAttrName: undefined,
    sparseTensor: undefined,
    sparseTensors: [],
  }),
  {
    name: [1, 'string'],
    f: [2, 'float'],
    i: [3, 'int64'],
    s: [4, 'bytes'],
    t: [5, () => TENSOR],
    g: [6, () => GRAPH],
    floats: [7, 'float', many],
    ints: [8, 'int64', many],
    strings: [9, 'bytes', many],
    tensors: [10, () => TENSOR, many],
    graphs: [11, () => GRAPH, many],
    docString: [13, 'string'],
    tp: [14, () => TYPE],
    typeProtos: [15, () => TYPE, many],
    type: [20, 'int32'],
    refAttrName: [21, 'string'],
    sparseTensor: [22, () => SPARSE_TENSOR],
    sparseTensors: [23, () => SPARSE_TENSOR, many],
  },
);

const bareValueInfo = () => ({ name: undefined, docString: undefined });

export const VALUE_INFO: Schema<onnx.ValueInfoProto> = schema(
  'ValueInfoProto',
  (): onnx.ValueInfoProto => ({ ...bareValueInfo(), type: undefined, metadataProps: [] }),
  {
    name: [1, 'string'],
    type: [2, () => TYPE, { deferred: true }],
    docString: [3, 'string'],
    metadataProps: [4, () => STRING_STRING_ENTRY, deferred],
  },
  bareValueInfo,
);

export const FUNCTION: Schema<onnx.FunctionProto> = schema(
  'FunctionProto',
  (): onnx.FunctionProto => ({
    name: undefined,
    input: [],
    output: [],
    attribute: [],
    node: [],
    docString: undefined,
    opsetImport: [],
    domain: undefined,
    attributeProto: [],
    valueInfo: [],
    overload: undefined,
    metadataProps: [],
  }),
  {
    name: [1, 'string'],
    input: [4, 'string', many],
    output: [5, 'string', many],
    attribute: [6, 'string', many],
    node: [7, () => NODE, many],
    docString: [8, 'string'],
    opsetImport: [9, () => OPERATOR_SET_ID, many],
    domain: [10, 'string'],
    attributeProto: [11, () => ATTRIBUTE, many],
    valueInfo: [12, () => VALUE_INFO, many],
    overload: [13, 'string'],
    metadataProps: [14, () => STRING_STRING_ENTRY, many],
  },
);

export const TENSOR: Schema<onnx.TensorProto> = schema(
  'TensorProto',
  (): onnx.TensorProto => ({
    dims: [],
    dataType: undefined,
    segment: undefined,
    floatData: NO_FLOATS,
    int32Data: NO_INT32,
    stringData: [],
    int64Data: NO_INT64,
    name: undefined,
    rawData: undefined,
    doubleData: NO_DOUBLES,
    uint64Data: NO_UINT64,
    docString: undefined,
    externalData: [],
    dataLocation: undefined,
    metadataProps: [],
  }),
  {
    dims: [1, 'int64', many],
    dataType: [2, 'int32'],
    segment: [3, () => TENSOR_SEGMENT],
    floatData: [4, 'float', stored('Float32Array')],
    int32Data: [5, 'int32', stored('Int32Array')],
    stringData: [6, 'bytes', many],
    int64Data: [7, 'int64', stored('BigInt64Array')],
    name: [8, 'string'],
    rawData: [9, 'bytes'],
    doubleData: [10, 'double', stored('Float64Array')],
    uint64Data: [11, 'uint64', stored('BigUint64Array')],
    docString: [12, 'string'],
    externalData: [13, () => STRING_STRING_ENTRY, many],
    dataLocation: [14, 'int32'],
    metadataProps: [16, () => STRING_STRING_ENTRY, many],
  },
);

export const TENSOR_SEGMENT: Schema<onnx.TensorSegment> = schema(
  'TensorProto.Segment',
  (): onnx.TensorSegment => ({ begin: undefined, end: undefined }),
  { begin: [1, 'int64'], end: [2, 'int64'] },
);

export const SPARSE_TENSOR: Schema<onnx.SparseTensorProto> = schema(
  'SparseTensorProto',
  (): onnx.SparseTensorProto => ({ values: undefined, indices: undefined, dims: [] }),
  { values: [1, () => TENSOR], indices: [2, () => TENSOR], dims: [3, 'int64', many] },
);

export const TYPE: Schema<onnx.TypeProto> = schema(
  'TypeProto',
  (): onnx.TypeProto => ({
    tensorType: undefined,
    sequenceType: undefined,
    mapType: undefined,
    denotation: undefined,
    opaqueType: undefined,
    sparseTensorType: undefined,
    optionalType: undefined,
  }),
  {
    tensorType: [1, () => TENSOR_TYPE, value],
    sequenceType: [4, () => SEQUENCE_TYPE, value],
    mapType: [5, () => MAP_TYPE, value],
    denotation: [6, 'string'],
    opaqueType: [7, () => OPAQUE_TYPE, value],
    sparseTensorType: [8, () => SPARSE_TENSOR_TYPE, value],
    optionalType: [9, () => OPTIONAL_TYPE, value],
  },
);

export const TENSOR_TYPE: Schema<onnx.TensorTypeProto> = schema(
  'TypeProto.Tensor',
  (): onnx.TensorTypeProto => ({ elemType: undefined, shape: undefined }),
  { elemType: [1, 'int32'], shape: [2, () => TENSOR_SHAPE] },
);

export const SPARSE_TENSOR_TYPE: Schema<onnx.SparseTensorTypeProto> = schema(
  'TypeProto.SparseTensor',
  (): onnx.SparseTensorTypeProto => ({ elemType: undefined, shape: undefined }),
  { elemType: [1, 'int32'], shape: [2, () => TENSOR_SHAPE] },
);

export const SEQUENCE_TYPE: Schema<onnx.SequenceTypeProto> = schema(
  'TypeProto.Sequence',
  (): onnx.SequenceTypeProto => ({ elemType: undefined }),
  { elemType: [1, () => TYPE] },
);

export const OPTIONAL_TYPE: Schema<onnx.OptionalTypeProto> = schema(
  'TypeProto.Optional',
  (): onnx.OptionalTypeProto => ({ elemType: undefined }),
  { elemType: [1, () => TYPE] },
);

export const MAP_TYPE: Schema<onnx.MapTypeProto> = schema(
  'TypeProto.Map',
  (): onnx.MapTypeProto => ({ keyType: undefined, valueType: undefined }),
  { keyType: [1, 'int32'], valueType: [2, () => TYPE] },
);

export const OPAQUE_TYPE: Schema<onnx.OpaqueTypeProto> = schema(
  'TypeProto.Opaque',
  (): onnx.OpaqueTypeProto => ({ domain: undefined, name: undefined }),
  { domain: [1, 'string'], name: [2, 'string'] },
);

export const TENSOR_SHAPE: Schema<onnx.TensorShapeProto> = schema(
  'TensorShapeProto',
  (): onnx.TensorShapeProto => ({ dim: [] }),
  { dim: [1, () => DIMENSION, many] },
);

export const DIMENSION: Schema<onnx.DimensionProto> = schema(
  'TensorShapeProto.Dimension',
  (): onnx.DimensionProto => ({ dimValue: undefined, dimParam: undefined, denotation: undefined }),
  { dimValue: [1, 'int64', value], dimParam: [2, 'string', value], denotation: [3, 'string'] },
);

export const OPERATOR_SET_ID: Schema<onnx.OperatorSetIdProto> = schema(
  'OperatorSetIdProto',
  (): onnx.OperatorSetIdProto => ({ domain: undefined, version: undefined }),
  { domain: [1, 'string'], version: [2, 'int64'] },
);

export const STRING_STRING_ENTRY: Schema<onnx.StringStringEntryProto> = schema(
  'StringStringEntryProto',
  (): onnx.StringStringEntryProto => ({ key: undefined, value: undefined }),
  { key: [1, 'string'], value: [2, 'string'] },
);

export const TENSOR_ANNOTATION: Schema<onnx.TensorAnnotation> = schema(
  'TensorAnnotation',
  (): onnx.TensorAnnotation => ({ tensorName: undefined, quantParameterTensorNames: [] }),
  { tensorName: [1, 'string'], quantParameterTensorNames: [2, () => STRING_STRING_ENTRY, many] },
);

export const TRAINING_INFO: Schema<onnx.TrainingInfoProto> = schema(
  'TrainingInfoProto',
  (): onnx.TrainingInfoProto => ({
    initialization: undefined,
    algorithm: undefined,
    initializationBinding: [],
    updateBinding: [],
  }),
  {
    initialization: [1, () => GRAPH],
    algorithm: [2, () => GRAPH],
    initializationBinding: [3, () => STRING_STRING_ENTRY, many],
    updateBinding: [4, () => STRING_STRING_ENTRY, many],
  },
);

export const DEVICE_CONFIGURATION: Schema<onnx.DeviceConfigurationProto> = schema(
  'DeviceConfigurationProto',
  (): onnx.DeviceConfigurationProto => ({ name: undefined, numDevices: undefined, device: [] }),
  { name: [1, 'string'], numDevices: [2, 'int32'], device: [3, 'string', many] },
);

export const NODE_DEVICE_CONFIGURATION: Schema<onnx.NodeDeviceConfigurationProto> = schema(
  'NodeDeviceConfigurationProto',
  (): onnx.NodeDeviceConfigurationProto => ({
    configurationId: undefined,
    shardingSpec: [],
    pipelineStage: undefined,
  }),
  {
    configurationId: [1, 'string'],
    shardingSpec: [2, () => SHARDING_SPEC, many],
    pipelineStage: [3, 'int32'],
  },
);

export const SHARDING_SPEC: Schema<onnx.ShardingSpecProto> = schema(
  'ShardingSpecProto',
  (): onnx.ShardingSpecProto => ({ tensorName: undefined, device: [], indexToDeviceGroupMap: [], shardedDim: [] }),
  {
    tensorName: [1, 'string'],
    device: [2, 'int64', many],
    indexToDeviceGroupMap: [3, () => INT_INT_LIST_ENTRY, many],
    shardedDim: [4, () => SHARDED_DIM, many],
  },
);

export const INT_INT_LIST_ENTRY: Schema<onnx.IntIntListEntryProto> = schema(
  'IntIntListEntryProto',
  (): onnx.IntIntListEntryProto => ({ key: undefined, value: [] }),
  { key: [1, 'int64'], value: [2, 'int64', many] },
);

export const SHARDED_DIM: Schema<onnx.ShardedDimProto> = schema(
  'ShardedDimProto',
  (): onnx.ShardedDimProto => ({ axis: undefined, simpleSharding: [] }),
  { axis: [1, 'int64'], simpleSharding: [2, () => SIMPLE_SHARDED_DIM, many] },
);

export const SIMPLE_SHARDED_DIM: Schema<onnx.SimpleShardedDimProto> = schema(
  'SimpleShardedDimProto',
  (): onnx.SimpleShardedDimProto => ({ dimValue: undefined, dimParam: undefined, numShards: undefined }),
  {
    dimValue: [1, 'int64', { oneof: 'dim' }],
    dimParam: [2, 'string', { oneof: 'dim' }],
    numShards: [3, 'int64'],
  },
);
