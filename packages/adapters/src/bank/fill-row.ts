/** One adapter as a row of a bank. */

import type { Adapter } from '../adapter.js';
import { AdapterError } from '../errors.js';
import type { AdapterModule } from '../modules.js';
import type { AdapterTensor } from '../safetensors/file.js';
import { decodeElements, type Elements, encodeElements } from './elements.js';
import type { BankLayout, BankModule } from './layout.js';

/** The memory of one slot: views of the tensors that the session is fed. */
export interface BankRow {
  /** `[rowElements]` of the bank: a Float32Array, or the bits of half-precision numbers. */
  readonly bank: Elements;
  /** `[gainElements]` */
  readonly gains: Float32Array;
}

/** What goes into the slot's elements of the other two inputs. */
export interface BankSlot {
  readonly scaling: number;
  readonly rank: number;
}

/** A module with a magnitude. */
export type DoraModule = AdapterModule & Required<Pick<AdapterModule, 'magnitude'>>;

/**
 * Computes `g = m / ‖W + s·B·A‖` per output row, float32 `[out]`, without an epsilon (PEFT
 * `DoraLinearLayer.get_weight_norm`), of a module of this path in the base model, which has its W.
 */
export type GainCompute = (module: DoraModule) => Promise<Float32Array>;

/**
 * Fills the row of a slot with an adapter: A and B padded to the layout's `maxRank` and rounded to its element type once,
 * and g. Modules of the layout that the adapter does not have get A and B of zeros and g = 1, plain LoRA modules g = 1.
 *
 * Exports may know a module by a path that begins inside or outside of PEFT's base model (`layers.0.fc` for
 * `model.layers.0.fc`, or the reverse): where no module has the very path, the one that ends like it is meant.
 *
 * A bank has one scaling an adapter. Where an adapter's modules differ in theirs (`alpha_pattern`), the row has the most
 * common one, and the B of the other modules is multiplied by what is missing.
 *
 * The checks come first: an adapter that does not fit leaves the row as it was. An error while tensors are read, or an
 * abort, leaves it half written.
 *
 * @throws AdapterError `bank` for an adapter that has no room in the layout: its rank, its modules, their shapes, their
 * values; what `read` of a tensor throws; RangeError for a row that is not of the layout.
 */
export async function fillBankRow(
  adapter: Pick<Adapter, 'folder' | 'modules'>,
  layout: BankLayout,
  row: BankRow,
  gainOf: GainCompute,
  options: { readonly signal?: AbortSignal } = {},
): Promise<BankSlot> {
  checkRow(row, layout);
  const modules = [...adapter.modules.values()];
  const { placed, misfits } = placeModules(modules, layout);
  if (misfits.length > 0) {
    const shown = misfits.slice(0, 4).join(', ');
    const rest = misfits.length > 4 ? `, and ${misfits.length - 4} more` : '';
    throw new AdapterError('bank', adapter.folder, `it does not fit into the bank: ${shown}${rest}`, {
      todo: 'attach a bank with room for it to the base model',
    });
  }
  const scaling = commonScaling(modules);
  row.bank.fill(0);
  row.gains.fill(1);
  for (const { module, place } of placed) {
    options.signal?.throwIfAborted();
    // Equal scalings leave B as it is, zero included.
    const factor = module.scaling === scaling ? 1 : module.scaling / scaling;
    await writeModule(module, place, factor, layout, row, adapter.folder);
    if (module.magnitude === undefined) continue;
    const gains = await gainOf({ ...module, magnitude: module.magnitude });
    if (gains.length !== place.outFeatures) {
      throw new RangeError(
        `gainOf gave ${gains.length} gains for ${module.path}, which has ${place.outFeatures} outputs`,
      );
    }
    row.gains.set(gains, place.offsetG);
  }
  return { scaling, rank: Math.max(...modules.map(({ rank }) => rank)) };
}

function checkRow({ bank, gains }: BankRow, { elementType, rowElements, gainElements }: BankLayout): void {
  const isRight = elementType === 'float32' ? bank instanceof Float32Array : bank instanceof Uint16Array;
  if (!isRight || bank.length !== rowElements || gains.length !== gainElements) {
    const expected = `${rowElements} elements of ${elementType} and ${gainElements} gains`;
    throw new RangeError(
      `row: expected ${expected}, got ${bank.constructor.name} [${bank.length}] and [${gains.length}]`,
    );
  }
}

/** The place of each module, or why it has none. */
function placeModules(modules: readonly AdapterModule[], layout: BankLayout) {
  const placed: { readonly module: AdapterModule; readonly place: BankModule }[] = [];
  const misfits: string[] = [];
  const taken = new Map<BankModule, string>();
  for (const module of modules) {
    const places = placesOf(module.path, layout.modules);
    const [place] = places;
    const other = place && taken.get(place);
    if (places.length > 1) misfits.push(`it has room for ${places.length} modules that ${module.path} may be`);
    else if (place === undefined) misfits.push(`it has no room for ${module.path}`);
    else if (other !== undefined) misfits.push(`${module.path} and ${other} are one module of it`);
    else {
      taken.set(place, module.path);
      placed.push({ module, place });
      const reason = misfit(module, place, layout.maxRank);
      if (reason !== undefined) misfits.push(reason);
    }
  }
  return { placed, misfits };
}

function placesOf(path: string, modules: BankLayout['modules']): readonly BankModule[] {
  const exact = modules.get(path);
  if (exact !== undefined) return [exact];
  return [...modules]
    .filter(([known]) => path.endsWith(`.${known}`) || known.endsWith(`.${path}`))
    .map(([, place]) => place);
}

function misfit(
  { path, kind, rank, inFeatures, outFeatures }: AdapterModule,
  place: BankModule,
  maxRank: number,
): string | undefined {
  if (kind !== 'linear') return `${path} is of kind ${kind}, and banks hold linear layers`;
  if (inFeatures !== place.inFeatures || outFeatures !== place.outFeatures) {
    return `${path} is [${outFeatures}, ${inFeatures}] and has room for [${place.outFeatures}, ${place.inFeatures}]`;
  }
  return rank > maxRank ? `${path} has rank ${rank} and room for ${maxRank}` : undefined;
}

/** The scaling that most modules have; zero only if all are, since the others are made from it. */
function commonScaling(modules: readonly AdapterModule[]): number {
  const counts = new Map<number, number>();
  for (const { scaling } of modules) if (scaling !== 0) counts.set(scaling, (counts.get(scaling) ?? 0) + 1);
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  return most?.[0] ?? 0;
}

async function writeModule(
  { path, rank, loraA, loraB }: AdapterModule,
  { offsetA, offsetB, outFeatures }: BankModule,
  factor: number,
  { maxRank, elementType }: BankLayout,
  { bank }: BankRow,
  folder: string,
): Promise<void> {
  const write = (values: Float32Array, by: number, at: number, tensor: AdapterTensor) => {
    const beyond = encodeElements(values, by, bank.subarray(at, at + values.length), elementType);
    if (beyond === undefined) return;
    throw new AdapterError(
      'bank',
      folder,
      `${tensor.name} of ${path} needs ${beyond}, which ${elementType} does not have`,
      {
        todo: 'attach a bank of another element type to the base model',
      },
    );
  };
  write(decodeElements(await loraA.read(), loraA.type), 1, offsetA, loraA);
  const b = decodeElements(await loraB.read(), loraB.type);
  for (let n = 0; n < outFeatures; n++) {
    write(b.subarray(n * rank, (n + 1) * rank), factor, offsetB + n * maxRank, loraB);
  }
}
