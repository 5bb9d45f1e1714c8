import { OnnxError } from './errors.js';
import type { NodeProto } from './messages.js';
import type { Scope } from './scope.js';

/**
 * Puts the nodes of a scope in an order in which every value is computed before it is read (subgraphs of a node count
 * as its reads). Nodes that are in order stay where they are.
 * @throws OnnxError `cycle`.
 */
export function sortNodes(scope: Scope): void {
  scope.reorder(sortedNodes(scope));
}

/** The nodes of a scope in the order of {@link sortNodes}. */
export function sortedNodes(scope: Scope): NodeProto[] {
  const sorted: NodeProto[] = [];
  const state = new Map<NodeProto, 'open' | 'done'>();
  for (const root of scope.nodes) {
    // Depth first with a stack of its own: chains of nodes are as long as models are deep.
    const stack: { node: NodeProto; needs: Iterator<NodeProto> }[] = [];
    const enter = (node: NodeProto) => {
      if (state.get(node) === 'done') return;
      if (state.has(node)) {
        throw new OnnxError(
          'cycle',
          `node '${node.name || node.opType}' depends on its own output '${node.output[0] ?? ''}'`,
        );
      }
      state.set(node, 'open');
      stack.push({ node, needs: needsOf(scope, node) });
    };
    enter(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.needs.next();
      if (next.done !== true) {
        enter(next.value);
        continue;
      }
      state.set(top.node, 'done');
      sorted.push(top.node);
      stack.pop();
    }
  }
  return sorted;
}

/** The first node that reads what only a later node of its scope computes; undefined if the order is right. */
export function firstUnsorted(scope: Scope): { readonly node: NodeProto; readonly name: string } | undefined {
  const seen = new Set<NodeProto>();
  for (const node of scope.nodes) {
    for (const name of scope.reads(node)) {
      const definition = scope.definition(name);
      if (definition?.kind === 'node' && definition.scope === scope && !seen.has(definition.node))
        return { node, name };
    }
    seen.add(node);
  }
  return undefined;
}

function* needsOf(scope: Scope, node: NodeProto): IterableIterator<NodeProto> {
  for (const name of scope.reads(node)) {
    const definition = scope.definition(name);
    if (definition?.kind === 'node' && definition.scope === scope) yield definition.node;
  }
}
