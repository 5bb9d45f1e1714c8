/** Where the bank of a model holds the adapter of each module (docs/operators.md, Banks). */

import { AdapterError } from '../errors.js';
import { isObject, JsonError, parseJson } from '../json.js';
import type { FloatType } from '../safetensors/dtype.js';

/** Key of the model's metadata whose value is the layout, as {@link formatBankLayout} writes it. */
export const BANK_LAYOUT_METADATA = 'ort_dora.bank_layout';

/** The graph inputs of a model with a bank: the last inputs of every bank operator, in this order. */
export const BANK_INPUTS = {
  /** elementType `[slots, rowElements]` */
  bank: 'ort_dora.bank',
  /** float32 `[slots, gainElements]` */
  gains: 'ort_dora.gains',
  /** float32 `[slots]` */
  scaling: 'ort_dora.scaling',
  /** int32 `[slots]` */
  rank: 'ort_dora.rank',
  /** int32 `[runs]`: the slot of each run of rows, −1 for the base alone. */
  slot: 'ort_dora.slot',
} as const;

/** Sizes and offsets are in elements. */
export interface BankLayout {
  /** S: adapters that the bank has room for. */
  readonly slots: number;
  readonly maxRank: number;
  /** Of A and B in the bank. */
  readonly elementType: FloatType;
  /** P: a row of the bank, `[slots, rowElements]`. */
  readonly rowElements: number;
  /** G: a row of the gains, float32 `[slots, gainElements]`. */
  readonly gainElements: number;
  /** By PEFT module path, sorted. */
  readonly modules: ReadonlyMap<string, BankModule>;
}

export interface BankModule {
  /** A `[maxRank, inFeatures]` in a row of the bank. */
  readonly offsetA: number;
  /** B `[outFeatures, maxRank]` in a row of the bank. */
  readonly offsetB: number;
  /** g `[outFeatures]` in a row of the gains. */
  readonly offsetG: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/** Everything starts at a multiple of this many elements, and rows have such a length: 128 bytes or more. */
const ALIGNMENT = 64;

/**
 * Lays out a bank for these modules, by their paths.
 * @throws RangeError for sizes that are no whole numbers of at least 1, or too large
 */
export function planBank(
  modules: ReadonlyMap<string, Pick<BankModule, 'inFeatures' | 'outFeatures'>>,
  { slots, maxRank, elementType }: Pick<BankLayout, 'slots' | 'maxRank' | 'elementType'>,
): BankLayout {
  let rowElements = 0;
  let gainElements = 0;
  const placed = [...modules].sort(byPath).map(([path, { inFeatures, outFeatures }]) => {
    const offsetA = rowElements;
    const offsetB = offsetA + aligned(maxRank * inFeatures);
    rowElements = offsetB + aligned(outFeatures * maxRank);
    const offsetG = gainElements;
    gainElements += aligned(outFeatures);
    return [path, { offsetA, offsetB, offsetG, inFeatures, outFeatures }] as const;
  });
  const layout = { slots, maxRank, elementType, rowElements, gainElements, modules: new Map(placed) };
  const wrong = flaw(layout);
  if (wrong !== undefined) throw new RangeError(`no bank can be laid out: ${wrong}`);
  return layout;
}

/** The layout as JSON: the same text for the same layout. */
export function formatBankLayout(layout: BankLayout): string {
  return JSON.stringify({ version: VERSION, ...layout, modules: Object.fromEntries([...layout.modules].sort(byPath)) });
}

/**
 * Parses and checks what {@link formatBankLayout} wrote.
 * @param where the model's file, for messages
 * @throws AdapterError `bank` for anything else: unknown versions, sizes that do not add up, modules that overlap
 */
export function parseBankLayout(text: string, where: string): BankLayout {
  const json = parseText(text, where);
  if (json.version !== VERSION) throw invalid(where, `is of version ${JSON.stringify(json.version)}, not ${VERSION}`);
  const modules = isObject(json.modules) ? Object.entries(json.modules) : [];
  const layout = {
    ...pick(json, ['slots', 'maxRank', 'elementType', 'rowElements', 'gainElements']),
    modules: new Map(
      modules.map(([path, module]) => [
        path,
        pick(module, ['offsetA', 'offsetB', 'offsetG', 'inFeatures', 'outFeatures']),
      ]),
    ),
  } as unknown as BankLayout;
  const wrong = flaw(layout);
  if (wrong !== undefined) throw invalid(where, `does not fit together: ${wrong}`);
  return layout;
}

const VERSION = 1;
const ELEMENT_TYPES: readonly unknown[] = ['float32', 'float16', 'bfloat16'] satisfies FloatType[];
/** Of slots and ranks, which are int32 in the graph. */
const LARGEST_INT32 = 2 ** 31 - 1;

function parseText(text: string, where: string): Readonly<Record<string, unknown>> {
  try {
    const json = parseJson(new TextEncoder().encode(text));
    if (isObject(json)) return json;
  } catch (error) {
    if (error instanceof JsonError) throw invalid(where, `cannot be read: ${error.message}`);
    throw error;
  }
  throw invalid(where, 'is not an object');
}

function pick(json: unknown, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, isObject(json) ? json[key] : undefined]));
}

/** What is wrong with a layout; undefined if nothing is. */
function flaw(layout: BankLayout): string | undefined {
  const { slots, maxRank, elementType, rowElements, gainElements, modules } = layout;
  for (const [name, size] of Object.entries({ slots, maxRank })) {
    if (!isSize(size, 1) || size > LARGEST_INT32)
      return `${name} is ${JSON.stringify(size)}, and must be a whole number of at least 1`;
  }
  if (!ELEMENT_TYPES.includes(elementType)) return `elementType is ${JSON.stringify(elementType)}`;
  if (modules.size === 0) return 'it has no modules';
  const inRow: Region[] = [];
  const inGains: Region[] = [];
  for (const [path, { offsetA, offsetB, offsetG, inFeatures, outFeatures }] of modules) {
    const placed = isSize(offsetA, 0) && isSize(offsetB, 0) && isSize(offsetG, 0);
    if (!placed || !isSize(inFeatures, 1) || !isSize(outFeatures, 1)) return `it has no place for module ${path}`;
    inRow.push({ path, start: offsetA, end: offsetA + maxRank * inFeatures });
    inRow.push({ path, start: offsetB, end: offsetB + outFeatures * maxRank });
    inGains.push({ path, start: offsetG, end: offsetG + outFeatures });
  }
  return regionFlaw(inRow, rowElements, 'rowElements') ?? regionFlaw(inGains, gainElements, 'gainElements');
}

interface Region {
  readonly path: string;
  readonly start: number;
  readonly end: number;
}

function regionFlaw(regions: Region[], size: number, name: string): string | undefined {
  if (!isSize(size, 1)) return `${name} is ${JSON.stringify(size)}`;
  let end = 0;
  for (const region of regions.sort((a, b) => a.start - b.start)) {
    if (region.start < end) return `module ${region.path} lies over another`;
    end = region.end;
    if (end > size) return `module ${region.path} reaches up to ${end}, and ${name} is ${size}`;
  }
  return undefined;
}

const isSize = (value: unknown, least: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= least;

const aligned = (elements: number) => Math.ceil(elements / ALIGNMENT) * ALIGNMENT;

const byPath = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : a > b ? 1 : 0);

function invalid(where: string, what: string): AdapterError {
  return new AdapterError('bank', where, `its ${BANK_LAYOUT_METADATA} ${what}`, {
    todo: 'attach the bank to the base model again',
  });
}
