/**
 * The checks of a set of TypeScript sources: what a matcher asks before it goes on.
 *
 * A condition is one if one of its sides refuses: returns `undefined`, `false`, an empty array or a mismatch, throws,
 * stops a loop, or clears a flag. Removing a check means forcing the condition to the other side. A condition of several
 * parts is as many checks: of `a || b` that refuses, each operand; of `a && b` that leads on, each operand. Named parts are
 * followed: a constant into its initializer, a call into what the predicate returns, `every` and `some` into what they are
 * given.
 */
import { parseSync } from 'oxc-parser';

/**
 * @typedef {object} Check
 * @property {string} file
 * @property {number} line from 1
 * @property {string} within the function that it is in
 * @property {string} text its source
 * @property {boolean} forced what it is without the check
 * @property {number} start position of the text
 * @property {number} end
 */

/**
 * @param {ReadonlyMap<string, string>} sources texts by file name
 * @returns {Check[]} in the order of files and lines
 */
export function findChecks(sources) {
  const files = [...sources].map(([file, text]) => {
    const { program, errors } = parseSync(file, text);
    if (errors.length > 0) throw new Error(`${file} does not parse: ${errors[0].message}`);
    setParents(program, undefined);
    program.source = { file, text };
    return program;
  });
  const finder = new Finder(predicatesOf(files));
  for (const program of files) visit(program, (node) => finder.condition(node));
  finder.unusedPredicates();
  return [...finder.checks.values()].sort(
    (a, b) => (a.file === b.file ? 0 : a.file < b.file ? -1 : 1) || a.start - b.start || a.end - b.end,
  );
}

class Finder {
  /** @type {Map<string, Check>} */
  checks = new Map();
  #followed = new Set();
  #asked = new Set();

  constructor(predicates) {
    this.predicates = predicates;
  }

  /** Collects the checks of a node that is a condition. */
  condition(node) {
    if (node.type === 'IfStatement') {
      if (isRefusing(node.consequent, node.test)) this.#collect(node.test, false);
      else if (refusesOtherwise(node)) this.#collect(node.test, true);
    } else if (node.type === 'ConditionalExpression') {
      const [yes, no] = [node.consequent, node.alternate].map(
        (side) => side.type !== 'ArrayExpression' && isRefusal(side, node.test),
      );
      if (yes !== no) this.#collect(node.test, no);
      // A value that may be missing is no refusal: both sides lead on.
      if (yes !== no && isPart(node)) this.#collect(node.test, yes);
    } else if (node.type === 'WhileStatement') {
      this.#collect(node.test, true);
    }
  }

  /** Predicates that are only handed on: which of their answers leads on is for others to know. */
  unusedPredicates() {
    for (const predicate of [...this.predicates.values()].flat()) {
      if (this.#asked.has(predicate)) continue;
      for (const value of returnsOf(predicate)) for (const forced of [true, false]) this.#collect(value, forced);
    }
  }

  /** All parts of a condition without which it would be `forced` more often, itself included. */
  #collect(expression, forced) {
    const node = strip(expression);
    if (isNot(node)) return this.#collect(node.argument, !forced);
    if (node.type === 'Literal') return;
    if (isSplit(node, forced)) {
      this.#collect(node.left, forced);
      this.#collect(node.right, forced);
      return;
    }
    this.#add(node, forced);
    this.#inner(node, forced);
  }

  /** The parts of a condition that are less than the whole. */
  #inner(expression, forced) {
    const node = strip(expression);
    if (isNot(node)) return this.#inner(node.argument, !forced);
    if (node.type === 'AwaitExpression') return this.#inner(node.argument, forced);
    if (node.type === 'LogicalExpression') {
      const follow = isSplit(node, forced)
        ? (side) => this.#collect(side, forced)
        : (side) => this.#inner(side, forced);
      follow(node.left);
      follow(node.right);
    } else if (node.type === 'ConditionalExpression') {
      this.#inner(node.consequent, forced);
      this.#inner(node.alternate, forced);
    } else if (node.type === 'Identifier') {
      const initializer = constantOf(node);
      if (initializer !== undefined) this.#follow(initializer, forced, () => this.#inner(initializer, forced));
    } else if (node.type === 'CallExpression') {
      this.#call(node, forced);
    }
  }

  #call({ callee, arguments: given }, forced) {
    const name = nameOf(callee);
    if (callee.type === 'MemberExpression' && (name === 'every' || name === 'some' || name === 'find')) {
      const [callback] = given;
      if (callback?.type === 'ArrowFunctionExpression') this.#returns(callback, forced);
    }
    for (const predicate of this.predicates.get(name) ?? []) this.#returns(predicate, forced);
  }

  #returns(predicate, forced) {
    this.#asked.add(predicate);
    const returned = returnsOf(predicate);
    this.#follow(predicate, forced, () => {
      for (const value of returned) {
        // What is a promise yet says nothing.
        const isPromise = predicate.async && value.type !== 'AwaitExpression' && value.type !== 'LogicalExpression';
        if (returned.length > 1 && !isPromise) this.#collect(value, forced);
        else this.#inner(value, forced);
      }
    });
  }

  #follow(node, forced, then) {
    const key = `${fileOf(node).file}:${node.start}:${node.end}:${forced}`;
    if (this.#followed.has(key)) return;
    this.#followed.add(key);
    then();
  }

  #add(node, forced) {
    const { file, text } = fileOf(node);
    const { start, end } = node;
    this.checks.set(`${file}:${start}:${end}:${forced}`, {
      file,
      line: text.slice(0, start).split('\n').length,
      within: functionName(node),
      text: text.slice(start, end).replace(/\s+/g, ' '),
      forced,
      start,
      end,
    });
  }
}

/** Functions that return a truth value, by name. */
function predicatesOf(programs) {
  const found = new Map();
  for (const program of programs) {
    visit(program, (node) => {
      const name = isFunction(node) ? functionName(node.body) : undefined;
      if (!name || !isPredicate(node)) return;
      found.set(name, [...(found.get(name) ?? []), node]);
    });
  }
  return found;
}

function isPredicate(node) {
  const type = node.returnType?.typeAnnotation;
  if (type === undefined) return node.expression === true && isTruthValue(node.body);
  if (type.type === 'TSBooleanKeyword') return true;
  return type.typeName?.name === 'Promise' && type.typeArguments?.params[0]?.type === 'TSBooleanKeyword';
}

function isTruthValue(expression) {
  const node = strip(expression);
  if (node.type === 'LogicalExpression') return node.operator !== '??' && isTruthValue(node.right);
  if (node.type === 'BinaryExpression') return /^([!=]==?|[<>]=?)$/.test(node.operator);
  return isNot(node) || (node.type === 'CallExpression' && /^(is|has|every$|some$)/.test(nameOf(node.callee) ?? ''));
}

/** What a function returns; `return` statements of functions inside it are not its own. */
function returnsOf(node) {
  if (node.body.type !== 'BlockStatement') return [node.body];
  const returned = [];
  visit(
    node.body,
    (inner) => {
      if (inner.type === 'ReturnStatement' && inner.argument) returned.push(inner.argument);
    },
    isFunction,
  );
  return returned;
}

/** Whether a statement ends in a refusal. */
function isRefusing(statement, test) {
  if (statement.type === 'BlockStatement') {
    const end = statement.body.at(-1);
    // A loop is gone on with after something was done, or left for the next item.
    if (end?.type === 'ContinueStatement') return statement.body.length === 1;
    return end !== undefined && isRefusing(end, test);
  }
  if (statement.type === 'ReturnStatement') return !statement.argument || isRefusal(statement.argument, test);
  if (statement.type === 'ExpressionStatement') {
    const { type, operator, right } = statement.expression;
    return type === 'AssignmentExpression' && operator === '=' && right.value === false;
  }
  return ['ThrowStatement', 'BreakStatement', 'ContinueStatement'].includes(statement.type);
}

/** Whether a statement that leads on has a refusal beside it: its `else`, or what comes where nothing leads on. */
function refusesOtherwise(node) {
  if (node.alternate) {
    return node.alternate.type === 'IfStatement' ? refusesOtherwise(node.alternate) : isRefusing(node.alternate);
  }
  return isExit(node.consequent) && refusesAfter(node);
}

function refusesAfter(statement) {
  const { parent } = statement;
  if (isFunction(parent)) return false;
  const end = parent.type === 'BlockStatement' ? parent.body.at(-1) : statement;
  if (end === statement) return refusesAfter(parent);
  return end.type === 'ReturnStatement' && isRefusing(end);
}

function isExit(statement) {
  const end = statement.type === 'BlockStatement' ? statement.body.at(-1) : statement;
  return end?.type === 'ReturnStatement';
}

/** Whether an expression is what a matcher answers when it refuses; `test` is the condition under which it does. */
function isRefusal(expression, test) {
  const node = strip(expression);
  if (node.type === 'Literal') return node.value === false;
  if (node.type === 'Identifier') return node.name === 'undefined' || isFailed(node, test);
  if (node.type === 'ArrayExpression') return node.elements.length === 0;
  if (node.type === 'ObjectExpression') {
    return node.properties.some(({ type, argument }) => type === 'SpreadElement' && isFailed(argument, test));
  }
  if (node.type === 'LogicalExpression') return node.operator !== '&&' && isRefusal(node.right, test);
  return node.type === 'CallExpression' && ['mismatch', 'deeper'].includes(nameOf(node.callee));
}

/** Whether a condition asks for `value.matched`. */
function isFailed(value, test) {
  let found = false;
  if (test !== undefined) {
    visit(test, (node) => {
      if (node.type !== 'MemberExpression' || nameOf(node) !== 'matched') return;
      found ||= node.object.type === 'Identifier' && node.object.name === value.name;
    });
  }
  return found;
}

/** `||` that refuses and `&&` that leads on: each operand decides alone. */
function isSplit(node, forced) {
  return node.type === 'LogicalExpression' && node.operator === (forced ? '&&' : '||');
}

/** Whether an expression is one value of several: of an object, an array or a call. */
function isPart({ parent }) {
  return ['Property', 'ArrayExpression', 'CallExpression'].includes(parent.type);
}

function isNot(node) {
  return node.type === 'UnaryExpression' && node.operator === '!';
}

function isFunction(node) {
  return ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'].includes(node.type);
}

/** An expression without what does not change its value. */
function strip(node) {
  const wrappers = ['ParenthesizedExpression', 'ChainExpression', 'TSAsExpression', 'TSNonNullExpression'];
  return wrappers.includes(node.type) ? strip(node.expression) : node;
}

/** The last name of `f`, `a.f` or `a.#f`. */
function nameOf(node) {
  const callee = strip(node);
  if (callee.type === 'Identifier') return callee.name;
  return callee.type === 'MemberExpression' && !callee.computed ? callee.property.name : undefined;
}

/** The initializer of the constant that an identifier in a function stands for. */
function constantOf(identifier) {
  for (let node = identifier.parent; node !== undefined; node = node.parent) {
    for (const statement of node.type === 'BlockStatement' ? node.body : []) {
      if (statement.type !== 'VariableDeclaration' || statement.kind !== 'const') continue;
      const found = statement.declarations.find(({ id }) => id.type === 'Identifier' && id.name === identifier.name);
      if (found?.init) return found.init;
    }
  }
  return undefined;
}

/** The name of the innermost function with a name around a node. */
function functionName(node) {
  for (let at = node.parent; at !== undefined; at = at.parent) {
    if (!isFunction(at)) continue;
    const { parent } = at;
    if (at.id) return at.id.name;
    if (parent.type === 'VariableDeclarator') return parent.id.name;
    if (parent.type === 'MethodDefinition' || parent.type === 'Property') return parent.key.name;
  }
  return '';
}

function fileOf(node) {
  let top = node;
  while (top.parent !== undefined) top = top.parent;
  return top.source;
}

function setParents(node, parent) {
  Object.defineProperty(node, 'parent', { value: parent, configurable: true });
  for (const child of children(node)) setParents(child, node);
}

function visit(node, enter, skips = () => false) {
  enter(node);
  for (const child of children(node)) if (!skips(child)) visit(child, enter, skips);
}

function children(node) {
  return Object.values(node)
    .flat()
    .filter((value) => typeof value?.type === 'string');
}
