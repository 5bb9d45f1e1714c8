/** The fixtures: real PEFT exports with inputs and expected outputs. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeModel, type ModelProto } from '@ort-dora/onnx';
import type * as ort from 'onnxruntime-node';
import { type NpyArray, readNpz, toTensor } from './npz.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../../../models/fixtures/samples');

export interface SampleMeta {
  readonly case: string;
  readonly should_match: boolean;
  readonly expected_dora_modules: number;
  readonly expected_full?: number;
  readonly expected_compose_only?: number;
  readonly dora_modules?: readonly {
    readonly module: string;
    readonly adapter: string;
    readonly r: number;
    readonly scaling: number;
    readonly weight_shape: readonly [number, number];
    readonly bias: boolean;
  }[];
  readonly kind: string;
  readonly tolerance: { readonly max_abs_over_absmax: number; readonly cosine_min: number } | null;
}

export interface Sample {
  readonly name: string;
  readonly path: string;
  readonly meta: SampleMeta;
}

/** All samples that are valid models. */
export const SAMPLES: readonly Sample[] = names().filter(({ meta }) => meta.kind !== 'corrupt');
/** Those that must be refused. */
export const CORRUPT_SAMPLES: readonly Sample[] = names().filter(({ meta }) => meta.kind === 'corrupt');

export function sample(prefix: string): Sample {
  const found = SAMPLES.find(({ name }) => name.startsWith(prefix));
  if (found === undefined) throw new Error(`no sample ${prefix}`);
  return found;
}

export function sampleBytes({ path }: Sample): Uint8Array {
  return new Uint8Array(readFileSync(path));
}

export function sampleModel(of: Sample): ModelProto {
  return decodeModel(sampleBytes(of));
}

export interface InputSet {
  readonly feeds: Readonly<Record<string, ort.Tensor>>;
  readonly expected: ReadonlyMap<string, NpyArray>;
}

/** The stored input sets with what PyTorch computed, in the model's types and in float64 (`<output>__f64`). */
export function inputSets({ path }: Sample): InputSet[] {
  const folder = dirname(path);
  return ['', '_2'].flatMap((suffix) => {
    const inputs = join(folder, `inputs${suffix}.npz`);
    if (!existsSync(inputs)) return [];
    const feeds = Object.fromEntries([...readNpz(inputs)].map(([name, array]) => [name, toTensor(array)]));
    return [{ feeds, expected: readNpz(join(folder, `expected${suffix}.npz`)) }];
  });
}

function names(): Sample[] {
  return readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({
      name,
      path: join(ROOT, name, 'model.onnx'),
      meta: JSON.parse(readFileSync(join(ROOT, name, 'meta.json'), 'utf8')) as SampleMeta,
    }));
}
