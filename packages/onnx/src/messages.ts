/**
 * The messages of onnx.proto as plain objects. Field names are onnx.proto's in camelCase; int64 is `bigint`; bytes are
 * `Uint8Array` (decoded ones are views of the file's buffer); a repeated field is always an array; an optional field
 * that is absent is `undefined`. The numeric data fields of a tensor are typed arrays.
 */

export interface ModelProto {
  irVersion?: bigint | undefined;
  producerName?: string | undefined;
  producerVersion?: string | undefined;
  domain?: string | undefined;
  modelVersion?: bigint | undefined;
  docString?: string | undefined;
  graph?: GraphProto | undefined;
  opsetImport: OperatorSetIdProto[];
  metadataProps: StringStringEntryProto[];
  trainingInfo: TrainingInfoProto[];
  functions: FunctionProto[];
  configuration: DeviceConfigurationProto[];
}

export interface GraphProto {
  node: NodeProto[];
  name?: string | undefined;
  initializer: TensorProto[];
  docString?: string | undefined;
  input: ValueInfoProto[];
  output: ValueInfoProto[];
  valueInfo: ValueInfoProto[];
  quantizationAnnotation: TensorAnnotation[];
  sparseInitializer: SparseTensorProto[];
  metadataProps: StringStringEntryProto[];
}

export interface NodeProto {
  /** Names of the values read; '' leaves an optional input out. */
  input: string[];
  /** Names of the values computed; '' leaves an optional output out. */
  output: string[];
  name?: string | undefined;
  opType?: string | undefined;
  attribute: AttributeProto[];
  docString?: string | undefined;
  /** '' or absent: the standard operators. */
  domain?: string | undefined;
  /** Which overload of a model-local function (IR 10). */
  overload?: string | undefined;
  metadataProps: StringStringEntryProto[];
  deviceConfigurations: NodeDeviceConfigurationProto[];
}

export interface AttributeProto {
  name?: string | undefined;
  f?: number | undefined;
  i?: bigint | undefined;
  /** UTF-8. */
  s?: Uint8Array | undefined;
  t?: TensorProto | undefined;
  g?: GraphProto | undefined;
  floats: number[];
  ints: bigint[];
  strings: Uint8Array[];
  tensors: TensorProto[];
  graphs: GraphProto[];
  docString?: string | undefined;
  tp?: TypeProto | undefined;
  typeProtos: TypeProto[];
  /** One of {@link AttributeType}; says which field holds the value. */
  type?: number | undefined;
  /** In a function's body: the name of the function's attribute whose value this is. */
  refAttrName?: string | undefined;
  sparseTensor?: SparseTensorProto | undefined;
  sparseTensors: SparseTensorProto[];
}

export interface ValueInfoProto {
  name?: string | undefined;
  type?: TypeProto | undefined;
  docString?: string | undefined;
  metadataProps: StringStringEntryProto[];
}

export interface FunctionProto {
  name?: string | undefined;
  input: string[];
  output: string[];
  /** Names of attributes without a default. */
  attribute: string[];
  node: NodeProto[];
  docString?: string | undefined;
  opsetImport: OperatorSetIdProto[];
  domain?: string | undefined;
  /** Attributes with a default. */
  attributeProto: AttributeProto[];
  valueInfo: ValueInfoProto[];
  overload?: string | undefined;
  metadataProps: StringStringEntryProto[];
}

export interface TensorProto {
  dims: bigint[];
  /** One of {@link DataType}. */
  dataType?: number | undefined;
  segment?: TensorSegment | undefined;
  floatData: Float32Array;
  int32Data: Int32Array;
  stringData: Uint8Array[];
  int64Data: BigInt64Array;
  name?: string | undefined;
  /** Little-endian elements. */
  rawData?: Uint8Array | undefined;
  doubleData: Float64Array;
  uint64Data: BigUint64Array;
  docString?: string | undefined;
  /** `location`, `offset`, `length`, `checksum`, when `dataLocation` is EXTERNAL. */
  externalData: StringStringEntryProto[];
  /** One of {@link DataLocation}. */
  dataLocation?: number | undefined;
  metadataProps: StringStringEntryProto[];
}

export interface TensorSegment {
  begin?: bigint | undefined;
  end?: bigint | undefined;
}

export interface SparseTensorProto {
  values?: TensorProto | undefined;
  indices?: TensorProto | undefined;
  dims: bigint[];
}

/** Exactly one of the `…Type` fields. */
export interface TypeProto {
  tensorType?: TensorTypeProto | undefined;
  sequenceType?: SequenceTypeProto | undefined;
  mapType?: MapTypeProto | undefined;
  denotation?: string | undefined;
  opaqueType?: OpaqueTypeProto | undefined;
  sparseTensorType?: SparseTensorTypeProto | undefined;
  optionalType?: OptionalTypeProto | undefined;
}

export interface TensorTypeProto {
  elemType?: number | undefined;
  /** Absent: unknown rank. */
  shape?: TensorShapeProto | undefined;
}

export interface SparseTensorTypeProto {
  elemType?: number | undefined;
  shape?: TensorShapeProto | undefined;
}

export interface SequenceTypeProto {
  elemType?: TypeProto | undefined;
}

export interface OptionalTypeProto {
  elemType?: TypeProto | undefined;
}

export interface MapTypeProto {
  keyType?: number | undefined;
  valueType?: TypeProto | undefined;
}

export interface OpaqueTypeProto {
  domain?: string | undefined;
  name?: string | undefined;
}

export interface TensorShapeProto {
  dim: DimensionProto[];
}

/** At most one of `dimValue` and `dimParam`; neither: unknown. */
export interface DimensionProto {
  dimValue?: bigint | undefined;
  dimParam?: string | undefined;
  denotation?: string | undefined;
}

export interface OperatorSetIdProto {
  domain?: string | undefined;
  version?: bigint | undefined;
}

export interface StringStringEntryProto {
  key?: string | undefined;
  value?: string | undefined;
}

export interface TensorAnnotation {
  tensorName?: string | undefined;
  quantParameterTensorNames: StringStringEntryProto[];
}

export interface TrainingInfoProto {
  initialization?: GraphProto | undefined;
  algorithm?: GraphProto | undefined;
  initializationBinding: StringStringEntryProto[];
  updateBinding: StringStringEntryProto[];
}

export interface DeviceConfigurationProto {
  name?: string | undefined;
  numDevices?: number | undefined;
  device: string[];
}

export interface NodeDeviceConfigurationProto {
  configurationId?: string | undefined;
  shardingSpec: ShardingSpecProto[];
  pipelineStage?: number | undefined;
}

export interface ShardingSpecProto {
  tensorName?: string | undefined;
  device: bigint[];
  indexToDeviceGroupMap: IntIntListEntryProto[];
  shardedDim: ShardedDimProto[];
}

export interface IntIntListEntryProto {
  key?: bigint | undefined;
  value: bigint[];
}

export interface ShardedDimProto {
  axis?: bigint | undefined;
  simpleSharding: SimpleShardedDimProto[];
}

/** At most one of `dimValue` and `dimParam`. */
export interface SimpleShardedDimProto {
  dimValue?: bigint | undefined;
  dimParam?: string | undefined;
  numShards?: bigint | undefined;
}

/** Element types (TensorProto.DataType). Open: a file may hold newer numbers. */
export const DataType = {
  UNDEFINED: 0,
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  STRING: 8,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  UINT32: 12,
  UINT64: 13,
  COMPLEX64: 14,
  COMPLEX128: 15,
  BFLOAT16: 16,
  FLOAT8E4M3FN: 17,
  FLOAT8E4M3FNUZ: 18,
  FLOAT8E5M2: 19,
  FLOAT8E5M2FNUZ: 20,
  UINT4: 21,
  INT4: 22,
  FLOAT4E2M1: 23,
  FLOAT8E8M0: 24,
  UINT2: 25,
  INT2: 26,
  FLOAT6E2M3: 27,
  FLOAT6E3M2: 28,
} as const;

/** Kinds of attribute value (AttributeProto.AttributeType). */
export const AttributeType = {
  UNDEFINED: 0,
  FLOAT: 1,
  INT: 2,
  STRING: 3,
  TENSOR: 4,
  GRAPH: 5,
  FLOATS: 6,
  INTS: 7,
  STRINGS: 8,
  TENSORS: 9,
  GRAPHS: 10,
  SPARSE_TENSOR: 11,
  SPARSE_TENSORS: 12,
  TYPE_PROTO: 13,
  TYPE_PROTOS: 14,
} as const;

/** Where a tensor's elements are (TensorProto.DataLocation). */
export const DataLocation = { DEFAULT: 0, EXTERNAL: 1 } as const;
