/** The recorded exports of several versions of torch and PEFT: `matrix/export.py` made them, `matrix/pack.py` chose. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DataType, decodeModel, type ModelProto } from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { parseNpy, readZip, toNumbers, toTensor } from './npz.js';
import { toFloat16Bits } from './numbers.js';
import type { Feeds } from './ort.js';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), '../matrix');

export interface ExpectedModule {
  readonly path: string;
  readonly adapter: string;
  readonly rank: number;
  readonly scaling: number;
}

export interface RecordedExport {
  /** `torch2.15.0-peft0.21.2/legacy_plain`. */
  readonly name: string;
  /** In the order of the graph. */
  readonly modules: readonly ExpectedModule[];
  model(): ModelProto;
  /** The inputs of the export, in the model's types; bfloat16 ones in float32. */
  feeds(): Feeds;
  /** What PyTorch computes in float64. */
  expected(): ArrayLike<number>;
}

type Index = Readonly<
  Record<string, readonly { readonly name: string; readonly modules: readonly ExpectedModule[] }[]>
>;

export const EXPORTS: readonly RecordedExport[] = Object.entries(
  JSON.parse(readFileSync(join(FOLDER, 'fixtures.json'), 'utf8')) as Index,
).flatMap(([environment, cases]) => {
  const files = readZip(join(FOLDER, `${environment}.zip`));
  return cases.map(({ name, modules }) => recorded(`${environment}/${name}`, modules, filesBelow(files, `${name}/`)));
});

/** The first one whose name ends so. */
export function exported(suffix: string): RecordedExport {
  const found = EXPORTS.find(({ name }) => name.endsWith(suffix));
  if (found === undefined) throw new Error(`no recorded export ${suffix}`);
  return found;
}

function recorded(
  name: string,
  modules: readonly ExpectedModule[],
  files: ReadonlyMap<string, Buffer>,
): RecordedExport {
  const model = () => decodeModel(new Uint8Array(files.get('model.onnx')!));
  return {
    name,
    modules,
    model,
    feeds: () => {
      const inputs = model().graph!.input.filter((input) => files.has(`${input.name}.npy`));
      return Object.fromEntries(
        inputs.map(({ name: input = '', type }) => {
          const array = parseNpy(files.get(`${input}.npy`)!);
          const isHalf = type?.tensorType?.elemType === DataType.FLOAT16 && array.descr === '<f4';
          const half = () => new ort.Tensor('float16', Uint16Array.from(toNumbers(array), toFloat16Bits), array.dims);
          return [input, isHalf ? half() : toTensor(array)];
        }),
      );
    },
    expected: () => toNumbers(parseNpy(files.get('y.npy')!)),
  };
}

function filesBelow(files: ReadonlyMap<string, Buffer>, prefix: string): ReadonlyMap<string, Buffer> {
  return new Map(
    [...files].filter(([name]) => name.startsWith(prefix)).map(([name, file]) => [name.slice(prefix.length), file]),
  );
}
