/**
 * Damaged files, rewritten as files: an error of ours and nothing left behind, or an output that computes what the input
 * computes; soon, and in bounded memory. More rounds: REWRITER_FUZZ_ROUNDS=20000, from another seed on:
 * REWRITER_FUZZ_SEED=12345.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeModel, encodeModel, type ModelProto, makeValueInfo, OnnxError, validateModel } from '@ort-dora/onnx';
import type * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RewriteError, type RewriteOptions, type RewriteReport, rewriteModel } from '../src/index.js';
import { type Below, below, damagedBytes, damagedPlace, damagedStructure, externalized } from './support/damage.js';
import { LAYERS_FOLDER, layerArrays, layerModel } from './support/layers.js';
import { toTensor } from './support/npz.js';
import { runModel } from './support/ort.js';
import { inputSets, sample, sampleModel } from './support/samples.js';
import { numbersOf } from './support/tensors.js';

const rounds = Number(process.env.REWRITER_FUZZ_ROUNDS ?? 250);
const firstSeed = Number(process.env.REWRITER_FUZZ_SEED ?? 1);
/** Of processor time, which other load does not prolong: far above what a case takes (some ten milliseconds), far below a hang. */
const SLOWEST_MS = 10_000;
const MOST_MEMORY_BYTES = 2 * 2 ** 30;
/** Of the largest number that a composition adds up. */
const TOLERANCE = 1e-5;
/** Beyond it float32 norms overflow, which the rewriter's own do not. */
const LARGEST_PARAMETER = 1e15;

interface Source {
  readonly name: string;
  model(): ModelProto;
  feeds(): Readonly<Record<string, ort.Tensor>>;
}

const SOURCES: readonly Source[] = [
  ...['c01b', 'c05', 'c08', 'c18b', 'c14b'].map((name) => ({
    name,
    model: () => sampleModel(sample(name)),
    feeds: () => inputSets(sample(name))[0]!.feeds,
  })),
  ...readdirSync(LAYERS_FOLDER)
    // Half-precision layers round on the way, so that a difference tells nothing.
    .filter((file) => file.endsWith('.gz') && !file.includes('half'))
    .map((file) => file.replace('.onnx.gz', ''))
    .map((name) => ({
      name,
      model: () => layerModel(name),
      feeds: () => ({ x: toTensor(layerArrays(name).get('x')!) }),
    })),
];

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'ort-dora-fuzz-'));
});
afterAll(() => rmSync(work, { recursive: true }));

it(`${rounds} damaged files`, { timeout: 60_000 + rounds * 500 }, async () => {
  const outcomes = new Map<string, number>();
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    const outcome = await survive(seed);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  if (process.env.REWRITER_FUZZ_ROUNDS !== undefined) console.log(Object.fromEntries(outcomes));
  // The damage reaches everything: some of it is fused all the same, and the rest fails in many ways.
  expect(outcomes.get('fused, equal') ?? 0).toBeGreaterThan(rounds / 20);
  expect(outcomes.get('nothing fused') ?? 0).toBeGreaterThan(rounds / 50);
  expect(outcomes.get('malformed') ?? 0).toBeGreaterThan(0);
  expect(outcomes.size).toBeGreaterThan(8);
  expect(process.resourceUsage().maxRSS * 1024).toBeLessThan(MOST_MEMORY_BYTES);
});

/** Rewrites one damaged file; what came of it. */
async function survive(seed: number): Promise<string> {
  const pick = below(seed);
  const source = SOURCES[pick(SOURCES.length)]!;
  const [input, output] = [join(work, 'in'), join(work, 'out')].map((folder) => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    return folder;
  }) as [string, string];
  const files = damagedFiles(source, pick);
  if (files === undefined) return 'cannot be written';
  for (const [name, bytes] of files) writeFileSync(join(input, name), bytes);

  const options: RewriteOptions = {
    form: pick(2) === 0 ? 'linear' : 'compose',
    scale: pick(3) === 0 ? 'runtime' : 'auto',
    target: 'cpu',
    compact: pick(4) === 0,
  };
  const target = join(pick(2) === 0 ? input : output, 'out.onnx');
  const before = listing(input, output);
  const start = process.cpuUsage();
  try {
    const { report } = await rewriteModel(join(input, 'in.onnx'), target, options);
    return await judge(source, join(input, 'in.onnx'), target, report);
  } catch (error) {
    if (!(error instanceof OnnxError || error instanceof RewriteError)) {
      throw new Error(`seed ${seed}, ${source.name}: ${(error as Error).message}`, { cause: error });
    }
    expect(listing(input, output), `seed ${seed}: ${error.code}`).toEqual(before);
    return error.code;
  } finally {
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1000, `seed ${seed}`).toBeLessThan(SLOWEST_MS);
    for (const [name, bytes] of files) expect(readFileSync(join(input, name)).equals(bytes), `seed ${seed}`).toBe(true);
  }
}

/** A model's files by name; undefined where the damage is such that it cannot be written down. */
function damagedFiles(source: Source, pick: Below): Map<string, Uint8Array> | undefined {
  const model = source.model();
  const kind = pick(8);
  try {
    if (kind < 2) return new Map([['in.onnx', damagedBytes(encodeModel(model), pick)]]);
    if (kind < 6) {
      for (let edits = 1 + pick(2); edits > 0; edits--) damagedStructure(model, pick);
      return new Map([['in.onnx', encodeModel(model)]]);
    }
    const data = externalized(model, 'weights.bin');
    if (pick(2) === 0) damagedPlace(model, pick);
    const weights = pick(3) === 0 ? damagedBytes(data, pick) : data;
    return new Map([
      ['in.onnx', encodeModel(model)],
      ['weights.bin', weights],
    ]);
  } catch (error) {
    if (error instanceof OnnxError) return undefined;
    throw error;
  }
}

function listing(...folders: readonly string[]): string[] {
  return folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
}

/** A rewritten file must be sound, and compute what the input computes wherever ONNX Runtime runs the input. */
async function judge(source: Source, input: string, output: string, report: RewriteReport): Promise<string> {
  validateModel(decodeModel(new Uint8Array(readFileSync(output))));
  if (report.totals.fused === 0) return 'nothing fused';
  const original = await runModel(input, source.feeds()).catch(() => undefined);
  if (original === undefined) return 'fused, but the input does not run';
  const rewritten = await runModel(output, source.feeds());
  const { parameters, terms: largest } = await largestNumbers(source, input, report);
  if (!(parameters < LARGEST_PARAMETER && largest < LARGEST_PARAMETER)) return 'fused, out of range';
  for (const [name, tensor] of Object.entries(original)) {
    const [before, after] = [tensor, rewritten[name]!].map(numbersOf) as [ArrayLike<number>, ArrayLike<number>];
    for (let index = 0; index < before.length; index++) {
      const difference = Math.abs(after[index]! - before[index]!);
      const agree = difference <= TOLERANCE * largest || (Number.isNaN(before[index]!) && Number.isNaN(after[index]!));
      if (!agree)
        throw new Error(`${name}[${index}] is ${after[index]}, it was ${before[index]}, of ${largest} at most`);
    }
  }
  return 'fused, equal';
}

/**
 * The largest number among W, A, B and m, and the largest of what the compositions of the input add up: changed weights may be
 * large where their sum is small.
 */
async function largestNumbers(source: Source, input: string, { modules }: RewriteReport) {
  const model = decodeModel(new Uint8Array(readFileSync(input)));
  const graph = model.graph!;
  const outputs = new Set(graph.output.map(({ name }) => name));
  const parameters = new Set<string>();
  for (const module of modules) {
    if (module.status !== 'fused') continue;
    const { base, lora, y, weight, loraA, loraB, magnitude } = module.values;
    for (const name of [weight, loraA, loraB, magnitude]) parameters.add(name ?? '');
    for (const name of [base, lora ?? '', y, ...parameters]) {
      if (name === '' || outputs.has(name)) continue;
      outputs.add(name);
      graph.output.push(makeValueInfo(name, 1));
    }
  }
  const exposed = `${input}.exposed.onnx`;
  writeFileSync(exposed, encodeModel(model));
  try {
    const largest = { parameters: 0, terms: 0 };
    for (const [name, tensor] of Object.entries(await runModel(exposed, source.feeds()))) {
      const kind = parameters.has(name) ? 'parameters' : 'terms';
      for (const value of Array.from(numbersOf(tensor))) {
        if (Number.isFinite(value)) largest[kind] = Math.max(largest[kind], Math.abs(value));
      }
    }
    return largest;
  } finally {
    rmSync(exposed);
  }
}
