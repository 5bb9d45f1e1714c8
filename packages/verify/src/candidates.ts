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

/** The modules whose inputs and parameters can be had; the others are left out with the reason. */
export function capturable(
  modules: readonly ModuleDescription[],
  original: ModelProto,
  pair: ModelPair,
  leaveOut: (module: ModuleDescription, reason: string) => void,
): Candidate[] {
  const candidates: Candidate[] = [];
  for (const module of modules) {
    const source = parameterSource(module, pair.original, pair.rewritten);
    if (typeof source === 'string') {
      leaveOut(module, source);
      continue;
    }
    const needed = [...boundaries(module), ...source.computed];
    candidates.push({ module, source, needed, part: { from: boundaries(module), to: module.values.y } });
  }
  const { hidden } = expose(
    original,
    candidates.flatMap(({ needed }) => needed),
  );
  return candidates.filter(({ module, needed }) => {
    const name = needed.find((value) => hidden.has(value));
    if (name !== undefined) leaveOut(module, `its value ${name} is ${hidden.get(name)} and cannot be captured`);
    return name === undefined;
  });
}
