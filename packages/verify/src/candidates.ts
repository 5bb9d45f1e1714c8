/** The modules that can be judged by themselves. */

import type { ModelProto } from '@ort-dora/onnx';
import type { Part } from './graph/cut.js';
import { expose } from './graph/expose.js';
import { boundaries, type ModuleDescription } from './module-description.js';
import { type ParameterSource, parameterSource } from './parameters.js';
import type { ModelPair } from './verify-models.js';

export interface Candidate {
  readonly module: ModuleDescription;
  readonly source: ParameterSource;
  readonly part: Part;
  /** Names of the values to capture. */
  readonly needed: readonly string[];
}

type LeaveOut = (module: ModuleDescription, reason: string) => void;

/** The modules whose parameters can be had; the others are left out with the reason. */
export function candidates(
  modules: readonly ModuleDescription[],
  { original, rewritten }: Pick<ModelPair, 'original' | 'rewritten'>,
  leaveOut: LeaveOut,
): Candidate[] {
  return modules.flatMap((module) => {
    const source = parameterSource(module, original, rewritten);
    if (typeof source === 'string') {
      leaveOut(module, source);
      return [];
    }
    const from = boundaries(module);
    return [{ module, source, needed: [...from, ...source.computed], part: { from, to: module.values.y } }];
  });
}

/** Those whose values the main graph can give. */
export function capturable(found: readonly Candidate[], original: ModelProto, leaveOut: LeaveOut): Candidate[] {
  const { hidden } = expose(
    original,
    found.flatMap(({ needed }) => needed),
  );
  return found.filter(({ module, needed }) => {
    const name = needed.find((value) => hidden.has(value));
    if (name !== undefined) leaveOut(module, `its value ${name} is ${hidden.get(name)} and cannot be captured`);
    return name === undefined;
  });
}

/** Those whose values are given or stored: nothing is computed for modules that were taken out of their graph. */
export function selfContained(found: readonly Candidate[], leaveOut: LeaveOut): Candidate[] {
  return found.filter(({ module, source }) => {
    const [name] = source.computed;
    if (name !== undefined) leaveOut(module, `its ${name} is not stored, but computed or given, in ${module.scope}`);
    return name === undefined;
  });
}
