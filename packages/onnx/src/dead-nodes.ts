import type { GraphProto, NodeProto } from './messages.js';
import type { ModelView } from './model-view.js';
import type { Scope } from './scope.js';

/**
 * Removes nodes whose outputs nobody reads, then initializers that nobody reads and value_info of values that are gone.
 * Graph inputs and outputs stay, and so do initializers that are inputs too, and nodes without outputs.
 *
 * @param from Only these nodes and what they (directly or not) read is considered; everything if absent.
 * @returns How much was removed.
 */
export function removeDeadNodes(view: ModelView, from?: Iterable<NodeProto>): { nodes: number; initializers: number } {
  const removal = new Removal(view);
  if (from === undefined) removal.everything();
  else removal.startingAt(from);
  return removal.finish(from === undefined);
}

class Removal {
  readonly #view: ModelView;
  readonly #removed = new Map<Scope, Set<NodeProto>>();
  /** Names of initializers to look at, and of values that are gone. */
  readonly #initializers = new Map<Scope, Set<string>>();
  readonly #gone = new Map<Scope, Set<string>>();

  constructor(view: ModelView) {
    this.#view = view;
  }

  everything(): void {
    // Innermost scopes and last nodes first: then most nodes are looked at once.
    for (const scope of [...this.#view.scopes()].reverse()) this.#drain([...scope.nodes]);
    for (const scope of this.#view.scopes()) {
      for (const tensor of scope.initializers) add(this.#initializers, scope, tensor.name ?? '');
    }
  }

  startingAt(nodes: Iterable<NodeProto>): void {
    this.#drain([...nodes]);
  }

  #drain(stack: NodeProto[]): void {
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      const scope = this.#view.scopeOf(node);
      if (scope === undefined || node.output.length === 0) continue;
      if (node.output.some((name) => name !== '' && scope.isUsed(name))) continue;
      const read = [...scope.reads(node)].map((name) => scope.definition(name));
      scope.detach(node);
      add(this.#removed, scope, node);
      for (const name of node.output) add(this.#gone, scope, name);
      for (const definition of read) {
        if (definition?.kind === 'node') stack.push(definition.node);
        else if (definition?.kind === 'initializer')
          add(this.#initializers, definition.scope, definition.tensor.name ?? '');
      }
    }
  }

  finish(all: boolean): { nodes: number; initializers: number } {
    let nodes = 0;
    let initializers = 0;
    for (const [scope, removed] of this.#removed) {
      scope.sweep(removed);
      nodes += removed.size;
    }
    for (const [scope, candidates] of this.#initializers) {
      const annotated = annotatedNames(scope);
      const dead = [...candidates].filter(
        (name) => scope.defines(name) && !scope.isUsed(name) && !scope.isInput(name) && !annotated.has(name),
      );
      if (dead.length === 0) continue;
      scope.removeInitializers(dead);
      for (const name of dead) add(this.#gone, scope, name);
      initializers += dead.length;
    }
    for (const scope of all ? this.#view.scopes() : this.#gone.keys()) this.#forgetValues(scope, all);
    return { nodes, initializers };
  }

  #forgetValues(scope: Scope, all: boolean): void {
    const gone = this.#gone.get(scope) ?? new Set<string>();
    const isGone = (name: string) => (all || gone.has(name)) && !scope.defines(name);
    const candidates = all ? scope.proto.valueInfo.map(({ name }) => name ?? '') : gone;
    scope.removeValueInfos([...candidates].filter(isGone));
    if (scope.kind === 'function') return;
    const graph = scope.proto as GraphProto;
    if (graph.quantizationAnnotation.some(({ tensorName }) => isGone(tensorName ?? ''))) {
      graph.quantizationAnnotation = graph.quantizationAnnotation.filter(({ tensorName }) => !isGone(tensorName ?? ''));
    }
  }
}

/** Initializers that quantization annotations name: scales and zero points. */
function annotatedNames(scope: Scope): ReadonlySet<string> {
  if (scope.kind === 'function') return new Set();
  const annotations = (scope.proto as GraphProto).quantizationAnnotation;
  return new Set(annotations.flatMap((each) => each.quantParameterTensorNames.map(({ value }) => value ?? '')));
}

function add<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const values = sets.get(key);
  if (values === undefined) sets.set(key, new Set([value]));
  else values.add(value);
}
