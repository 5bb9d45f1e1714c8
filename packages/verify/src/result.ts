/** What a verification found. Plain JSON data; the same models, inputs and seed give the same figures on the same machine. */

import type { ElementType } from './tensor.js';

/**
 * How the rewritten model was run: `stock`, on ONNX Runtime as it comes, its operators inlined from the functions in the
 * file; `library`, with the operator library's kernels.
 */
export type Execution = 'stock' | 'library';

export interface VerificationResult {
  readonly passed: boolean;
  /** The result in one sentence. */
  readonly summary: string;
  readonly executions: readonly Execution[];
  /** `float32`: the originals cannot run here in their own precision, so both models were compared in float32. */
  readonly precision: 'own' | 'float32';
  readonly seed: number;
  readonly runs: readonly RunRecord[];
  readonly outputs: readonly OutputResult[];
  readonly modules: readonly ModuleResult[];
  /** Modules that could not be judged by themselves; the outputs of the whole model were judged with them in it. */
  readonly unchecked: readonly UncheckedModule[];
  /** What a reader should know about how far this verification goes. */
  readonly notes: readonly string[];
}

/** One set of inputs. */
export interface RunRecord {
  /** Dims of every input, by name. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** Tokens of each row that are padding, on the left; empty where there are none. */
  readonly leftPadding: readonly number[];
  /** Why these inputs were not used: the original does not accept them, or computes NaN with padding. null if they were. */
  readonly skipped: string | null;
}

/** Worst over all runs and executions. */
export interface OutputResult {
  readonly name: string;
  readonly type: ElementType;
  readonly maxAbs: number;
  /** Largest |difference| over the largest |value| of the original. */
  readonly maxRelative: number;
  readonly cosine: number;
  readonly passed: boolean;
  readonly reason: string;
  readonly executions: Readonly<Partial<Record<Execution, OutputFigure>>>;
}

export interface OutputFigure {
  readonly maxAbs: number;
  readonly maxRelative: number;
  readonly cosine: number;
  /** For half-precision models: distance of the rewritten output from the original graph in float32, relative to its max|y|. */
  readonly distance: number | null;
  /** The same of the original output. */
  readonly originalDistance: number | null;
  readonly passed: boolean;
  readonly reason: string;
}

/** Errors against the DoRA formula in float64, relative to the largest |value|; worst over all runs and executions. */
export interface ModuleResult extends ModuleName {
  readonly type: ElementType;
  /** `captured`: what the original graph gives the module; `generated`: normal floats, for a module inside a subgraph or function. */
  readonly inputs: 'captured' | 'generated';
  /** Rows of x that the reference was computed for. */
  readonly rows: number;
  readonly errorOriginal: number;
  readonly errorRewritten: number;
  /** The largest error that the rule allows. */
  readonly limit: number;
  /** errorRewritten as a multiple of errorOriginal. */
  readonly ratio: number;
  readonly passed: boolean;
  readonly reason: string;
  readonly executions: Readonly<Partial<Record<Execution, { readonly error: number; readonly passed: boolean }>>>;
  /** Where models were compared in float32: the rewritten module in its own precision, if anything here runs that. */
  readonly ownPrecision: OwnPrecisionResult | null;
}

/** A rewritten module that nothing here can compare with its original: its error is measured against roundings of its type. */
export interface OwnPrecisionResult {
  readonly type: ElementType;
  readonly error: number;
  readonly limit: number;
  readonly passed: boolean;
  readonly reason: string;
  /** The executions that ran. */
  readonly executions: readonly Execution[];
}

export interface ModuleName {
  /** PEFT's module path. */
  readonly path: string;
  readonly adapter: string | null;
  /** The subgraph or function that the module is in; '' for the main graph. */
  readonly scope: string;
}

export interface UncheckedModule extends ModuleName {
  readonly reason: string;
}
