import { expect, it } from 'vitest';
import { findChecks } from './find-checks.mjs';
import { instrumented } from './instrument.mjs';

const SOURCE = `
const isMul = (node: Node) => node.type === 'Mul' && node.domain === '';
function isSmall(size: number): boolean {
  if (size < 0) return false;
  return size < 10 || size === 99;
}
function match(node?: Node): Result | undefined {
  if (node === undefined || !isMul(node)) return mismatch('no product');
  const fits = node.size > 1 && isSmall(node.size);
  const inner = matchInner(node.input!);
  if (!inner.matched) return deeper(inner, 1);
  if (!fits) return undefined;
  let name = '';
  if (node.name !== '') name = node.name;
  if (node.isLast) return matched(name);
  for (const each of node.inputs) if (each === '') break;
  return node.output === name ? matched(name) : undefined;
}
async function prove(node: Node): Promise<boolean> {
  return (await same(node.a, node.b)) && node.c.every((value) => value !== 0 && value < 5);
}
`;

const described = () =>
  findChecks(new Map([['a.ts', SOURCE]])).map(({ within, text, forced }) => `${within}: ${text} → ${forced}`);

it('finds what leads to a refusal, in its parts, and what a predicate answers', () => {
  expect(described()).toEqual([
    "isMul: node.type === 'Mul' → true",
    "isMul: node.domain === '' → true",
    'isSmall: size < 0 → false',
    'isSmall: size < 10 || size === 99 → true',
    'match: node === undefined → false',
    'match: isMul(node) → true',
    'match: node.size > 1 → true',
    'match: isSmall(node.size) → true',
    'match: inner.matched → true',
    'match: fits → true',
    "match: each === '' → false",
    'match: node.output === name → true',
    // Nobody asks it here: which answer leads on is not known.
    'prove: (await same(node.a, node.b)) && node.c.every((value) => value !== 0 && value < 5) → false',
    'prove: await same(node.a, node.b) → true',
    'prove: node.c.every((value) => value !== 0 && value < 5) → true',
    'prove: value !== 0 → true',
    'prove: value < 5 → true',
  ]);
});

it('asks for each check where it was, however they are nested', () => {
  const text = 'if (a || !b(c)) return undefined;';
  const checks = findChecks(new Map([['a.ts', `function f() { ${text} }`]])).map((check, id) => ({
    ...check,
    id,
  }));
  expect(instrumented(`function f() { ${text} }`, checks)).toBe(
    'function f() { if (__check(0, (a)) || !__check(1, (b(c)))) return undefined; }',
  );
});
