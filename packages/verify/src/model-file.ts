/** An ONNX file as a verification reads it. */
import { readFileSync } from 'node:fs';
import { decodeModel, encodeModel, type ModelProto } from '@ort-dora/onnx';
import { toFloat64 } from './tensor.js';

export interface ModelFile {
  readonly path: string;
  readonly proto: ModelProto;
  readonly usesOperators: boolean;
  encode(proto: ModelProto): Uint8Array;
  isInitializer(name: string): boolean;
  hasValue(name: string): boolean;
  readInitializer(name: string): Promise<Float64Array>;
}

export async function openModelFile(path: string): Promise<ModelFile> {
  const proto = decodeModel(readFileSync(path));
  const graph = proto.graph!;
  const initializers = new Map(graph.initializer.map((t) => [t.name ?? '', t]));
  const values = new Set([
    ...initializers.keys(),
    ...graph.input.map((i) => i.name!),
    ...graph.node.flatMap((n) => n.output),
  ]);
  return {
    path,
    proto,
    usesOperators: graph.node.some((n) => n.domain === 'ort.dora'),
    encode: encodeModel,
    isInitializer: (n) => initializers.has(n),
    hasValue: (n) => values.has(n),
    async readInitializer(n) {
      const t = initializers.get(n)!;
      const raw = new Uint8Array(t.rawData!).buffer;
      return t.dataType === 1
        ? toFloat64({ type: 'float32', data: new Float32Array(raw) })
        : toFloat64({ type: 'float16', data: new Uint16Array(raw) });
    },
  };
}
