/** How well the path that an export gives a layer fits the path of an adapted module. */

/** Segments that stand for one another: onnxruntime-genai calls every attention `attn`. */
const ALIASES: ReadonlyMap<string, string> = new Map([['attn', 'self_attn']]);

/**
 * From best to worst. `whole`: the export's path is the module's. `longer`: it ends with it. `shorter`: the module's path
 * ends with it, as where a part of the model was exported. `thinned`: segments are missing inside, as in legacy exports,
 * which leave out containers that are never called; numbers are never left out.
 */
export type PathFit = 'whole' | 'longer' | 'shorter' | 'thinned';

export const FITS: readonly PathFit[] = ['whole', 'longer', 'shorter', 'thinned'];

/** How `exported` fits `wanted`; undefined where it is another module. */
export function fitOf(wanted: readonly string[], exported: readonly string[]): PathFit | undefined {
  if (wanted.length === 0 || exported.length === 0) return undefined;
  const shared = sharedEnd(wanted, exported);
  if (shared === wanted.length && shared === exported.length) return 'whole';
  if (shared === wanted.length) return 'longer';
  if (shared === exported.length) return 'shorter';
  return isThinned(exported, wanted) ? 'thinned' : undefined;
}

/** Whether `thin` is `whole` without its first segments or some inside, numbers excepted. Not so where they are the same. */
export function isThinned(thin: readonly string[], whole: readonly string[]): boolean {
  if (thin.length === 0 || thin.length >= whole.length || !same(thin.at(-1)!, whole.at(-1)!)) return false;
  let left = thin.length;
  for (const segment of whole.toReversed()) {
    if (left === 0) return true;
    if (same(thin[left - 1]!, segment)) left--;
    else if (/^\d+$/.test(segment)) return false;
  }
  return left === 0;
}

/** How many segments at the end are the same. */
export function sharedEnd(left: readonly string[], right: readonly string[]): number {
  const most = Math.min(left.length, right.length);
  for (let count = 0; count < most; count++) {
    if (!same(left.at(-1 - count)!, right.at(-1 - count)!)) return count;
  }
  return most;
}

function same(left: string, right: string): boolean {
  return (ALIASES.get(left) ?? left) === (ALIASES.get(right) ?? right);
}
