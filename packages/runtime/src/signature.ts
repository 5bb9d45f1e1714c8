// What a model takes and gives, and the checks of a run against it that ONNX Runtime leaves out or answers without naming the input.

import type { NativeValueInfo } from './binding.js';
import { type ElementType, elementTypeOf } from './element-types.js';
import { invalidArgument, RuntimeError, unexpected } from './errors.js';
import { checkValue } from './native-tensor.js';
import type { Feeds, Fetches } from './session.js';
import type { Value, ValueInfo } from './values.js';

interface Input {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly (number | string)[];
  /** Per dimension: its fixed length, or −1 − the index of its symbol, or undefined where anything goes. */
  readonly rule: readonly (number | undefined)[];
}

export class Signature {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #inputs: readonly Input[];
  readonly #inputNames: ReadonlySet<string>;
  readonly #outputNames: ReadonlySet<string>;
  readonly #symbols: readonly string[];
  // Reused by every call, which is synchronous: the length of each symbol, −1 while unknown.
  readonly #lengths: Int32Array;

  constructor(
    inputs: readonly NativeValueInfo[],
    outputs: readonly NativeValueInfo[],
    symbolicDims: 'check' | 'ignore',
  ) {
    this.inputs = inputs.map(valueInfo);
    this.outputs = outputs.map(valueInfo);
    this.#inputNames = new Set(inputs.map(({ name }) => name));
    this.#outputNames = new Set(outputs.map(({ name }) => name));
    const symbols: string[] = [];
    const symbolIndex = (symbol: string) => {
      if (!symbols.includes(symbol)) symbols.push(symbol);
      return symbols.indexOf(symbol);
    };
    this.#inputs = this.inputs.flatMap((input) => {
      if (!input.isTensor) return [];
      const rule = input.shape.map((dim) => {
        if (typeof dim === 'number') return dim;
        return dim === '' || symbolicDims === 'ignore' ? undefined : -1 - symbolIndex(dim);
      });
      return [{ ...input, rule }];
    });
    this.#symbols = symbols;
    this.#lengths = new Int32Array(symbols.length);
  }

  /**
   * Calls `use` with the value of every input, in the model's order.
   * @throws RuntimeError INVALID_ARGUMENT for a missing or unknown input, another type or shape than the model's, or lengths of one
   *   symbolic dimension that differ
   */
  forEachFeed(feeds: Feeds, use: (value: Value, name: string) => void): void {
    if (typeof feeds !== 'object' || feeds === null)
      throw unexpected('feeds', 'an object of tensors by input name', feeds);
    if (this.#inputs.length !== this.inputs.length) {
      const odd = this.inputs.find(({ isTensor }) => !isTensor);
      throw new RuntimeError('NOT_SUPPORTED', `input '${odd?.name}' is not a tensor: only tensors can be fed`);
    }
    this.#lengths.fill(-1);
    for (const input of this.#inputs) {
      const value = feeds[input.name];
      if (value === undefined) throw invalidArgument(`input '${input.name}' is missing: expected ${describe(input)}`);
      this.#check(input, value);
      use(value, input.name);
    }
    for (const name in feeds) {
      if (!this.#inputNames.has(name))
        throw invalidArgument(`the model has no input '${name}': its inputs are ${list(this.#inputNames)}`);
    }
  }

  /** Calls `use` for every output, in the model's order, with what is wanted of it; undefined: nothing. */
  forEachFetch(fetches: Fetches, use: (wanted: true | 'native' | Value | undefined, name: string) => void): void {
    if (typeof fetches !== 'object' || fetches === null)
      throw unexpected('fetches', 'an array of output names, or an object by output name', fetches);
    const byName = Array.isArray(fetches) ? undefined : (fetches as Exclude<Fetches, readonly string[]>);
    const names =
      byName === undefined
        ? (fetches as readonly string[])
        : Object.keys(byName).filter((name) => byName[name] !== undefined);
    for (const name of names) {
      if (!this.#outputNames.has(name))
        throw invalidArgument(`the model has no output '${name}': its outputs are ${list(this.#outputNames)}`);
    }
    if (names.length === 0) throw unexpected('fetches', 'at least one output', 'none');
    for (const { name } of this.outputs) {
      const wanted = byName === undefined ? names.includes(name) || undefined : byName[name];
      if (wanted !== undefined && wanted !== true && wanted !== 'native') checkValue(`output '${name}'`, wanted);
      use(wanted, name);
    }
  }

  #check(input: Input, value: Value): void {
    checkValue(`input '${input.name}'`, value);
    const { dims } = value;
    const { rule } = input;
    // A model says neither rank nor dimensions where its shape is empty: that is a scalar, or anything.
    let fits = value.type === input.type && (dims.length === rule.length || rule.length === 0);
    for (let i = 0; fits && i < rule.length; i++) {
      const expected = rule[i];
      const length = dims[i]!;
      if (expected === undefined) continue;
      if (expected >= 0) {
        fits = length === expected;
        continue;
      }
      const symbol = -1 - expected;
      const known = this.#lengths[symbol]!;
      if (known === -1) this.#lengths[symbol] = length;
      else if (known !== length) {
        throw invalidArgument(
          `input '${input.name}': expected ${this.#symbols[symbol]} = ${known} as in an input before it, got dims [${dims.join(', ')}] for ${describe(input)}`,
        );
      }
    }
    if (!fits)
      throw invalidArgument(
        `input '${input.name}': expected ${describe(input)}, got ${value.type} [${dims.join(', ')}]`,
      );
  }
}

function describe({ type, shape }: Input): string {
  return `${type} [${shape.map((dim) => (dim === '' ? '?' : dim)).join(', ')}]`;
}

function list(names: ReadonlySet<string>): string {
  return [...names].map((name) => `'${name}'`).join(', ');
}

function valueInfo({ name, isTensor, type, shape }: NativeValueInfo): ValueInfo {
  const elementType = isTensor && type !== undefined ? elementTypeOf(type) : undefined;
  // An element type without a name here (float8, say) can be neither fed nor fetched, as any other kind of value.
  return elementType !== undefined && shape !== undefined
    ? { name, isTensor: true, type: elementType, shape }
    : { name, isTensor: false };
}
