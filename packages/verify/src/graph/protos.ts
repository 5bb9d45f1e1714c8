/** New messages for edited copies of a model. */

import { AttributeType, DataType, type NodeProto, type ValueInfoProto } from '@ort-dora/onnx';

export const emptyValueInfo = (name: string): ValueInfoProto => ({ name, metadataProps: [] });

/** A value of a known element type and unknown rank. */
export const tensorInfo = (name: string, elemType: number): ValueInfoProto => ({
  ...emptyValueInfo(name),
  type: { tensorType: { elemType } },
});

export const castToFloat32 = (input: string, output: string): NodeProto => ({
  input: [input],
  output: [output],
  name: output,
  opType: 'Cast',
  attribute: [
    {
      name: 'to',
      type: AttributeType.INT,
      i: BigInt(DataType.FLOAT),
      floats: [],
      ints: [],
      strings: [],
      tensors: [],
      graphs: [],
      typeProtos: [],
      sparseTensors: [],
    },
  ],
  metadataProps: [],
  deviceConfigurations: [],
});
