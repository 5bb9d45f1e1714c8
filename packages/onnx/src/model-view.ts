import { OnnxError } from './errors.js';
import type { FunctionProto, ModelProto, NodeProto } from './messages.js';
import { canonicalDomain, Scope } from './scope.js';

/** A model as a rewriter looks at it: scopes, names, functions. Holds an index of the model; see {@link Scope}. */
export class ModelView {
  /** The main graph. */
  readonly main: Scope;
  readonly #functions = new Map<FunctionProto, Scope>();
  readonly #scopes = new Map<NodeProto, Scope>();
  readonly #names = new Set<string>();
  readonly #suffixes = new Map<string, number>();

  /** @throws OnnxError `no-graph`. */
  constructor(readonly model: ModelProto) {
    if (model.graph === undefined) throw new OnnxError('no-graph', 'the model has no graph');
    this.main = new Scope(this, 'graph', model.graph);
    for (const proto of model.functions) this.#functions.set(proto, new Scope(this, 'function', proto));
  }

  /** Bodies of the model-local functions, in file order. */
  get functions(): readonly Scope[] {
    return [...this.#functions.values()];
  }

  /** Every scope: the main graph, the functions, and after each the subgraphs inside it. */
  *scopes(): IterableIterator<Scope> {
    yield* this.main.withInner();
    for (const scope of this.#functions.values()) yield* scope.withInner();
  }

  /** The scope that a node is in; undefined for nodes that are in none (removed, or not inserted yet). */
  scopeOf(node: NodeProto): Scope | undefined {
    return this.#scopes.get(node);
  }

  /** The model-local function that a node calls, if it calls one. */
  functionOf(node: NodeProto): FunctionProto | undefined {
    const key = functionKey(node.domain, node.opType, node.overload);
    return this.model.functions.find((each) => functionKey(each.domain, each.name, each.overload) === key);
  }

  functionScope(proto: FunctionProto): Scope | undefined {
    return this.#functions.get(proto);
  }

  /** @throws OnnxError `duplicate-name` if a function of that domain, name and overload exists. */
  addFunction(proto: FunctionProto): Scope {
    const key = functionKey(proto.domain, proto.name, proto.overload);
    if (this.model.functions.some((each) => functionKey(each.domain, each.name, each.overload) === key)) {
      throw new OnnxError(
        'duplicate-name',
        `a function ${proto.domain}.${proto.name} of overload '${proto.overload ?? ''}' exists already`,
      );
    }
    this.model.functions.push(proto);
    const scope = new Scope(this, 'function', proto);
    this.#functions.set(proto, scope);
    return scope;
  }

  removeFunction(proto: FunctionProto): void {
    const scope = this.#functions.get(proto);
    if (scope === undefined) return;
    for (const inner of scope.withInner()) for (const node of inner.nodes) this.forget(node);
    this.#functions.delete(proto);
    this.model.functions = this.model.functions.filter((each) => each !== proto);
  }

  /**
   * A name that nothing in the model has: `hint` itself, or with a number behind it. The same calls on the same model
   * give the same names, and a name is given once.
   */
  freshName(hint: string): string {
    let name = hint;
    let suffix = this.#suffixes.get(hint) ?? 0;
    while (name === '' || this.#names.has(name)) name = `${hint}_${++suffix}`;
    this.#suffixes.set(hint, suffix);
    this.#names.add(name);
    return name;
  }

  /** @internal */
  adopt(node: NodeProto, scope: Scope): void {
    this.#scopes.set(node, scope);
    if (node.name) this.#names.add(node.name);
  }

  /** @internal */
  forget(node: NodeProto): void {
    this.#scopes.delete(node);
  }

  /** @internal */
  reserve(name: string): void {
    this.#names.add(name);
  }
}

/** What identifies a model-local function. */
export function functionKey(
  domain: string | undefined,
  name: string | undefined,
  overload: string | undefined,
): string {
  return JSON.stringify([canonicalDomain(domain), name ?? '', overload ?? '']);
}
