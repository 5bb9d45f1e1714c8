import { expect, it } from 'vitest';
import type { TargetProblem } from './find-targets.js';
import { planFiles, type TargetsInFile, targetsMessage } from './plan.js';

const missing = (path: string, candidates: readonly string[] = []): TargetProblem => ({
  path,
  problem: 'missing',
  reason: 'no linear layer of this export has that path',
  candidates,
});
const file = (
  name: string,
  found: Record<string, 'whole' | 'shorter'>,
  problems: readonly TargetProblem[] = [],
): TargetsInFile => ({
  file: name,
  found: Object.entries(found).map(([path, fit]) => ({ path, fit })),
  problems,
});

it('parts of a model: each file gets its own modules', () => {
  const files = [file('a', { p: 'whole' }, [missing('q')]), file('b', { q: 'whole' }, [missing('p')]), file('c', {})];
  expect(planFiles(['p', 'q'], files)).toEqual({ paths: [['p'], ['q'], []], problems: [] });
});

it('the same part several times: all of them get the modules', () => {
  const files = [file('fp32', { p: 'whole', q: 'whole' }), file('q4', { p: 'whole', q: 'whole' })];
  expect(planFiles(['p', 'q'], files)).toEqual({
    paths: [
      ['p', 'q'],
      ['p', 'q'],
    ],
    problems: [],
  });
});

it('a file with a better fitting path has the module, not the one with a worse', () => {
  const files = [file('text', { p: 'whole' }), file('vision', { p: 'shorter' })];
  expect(planFiles(['p'], files).paths).toEqual([['p'], []]);
});

it('a variant that lacks a module of its sibling is an error', () => {
  const files = [
    file('fp32', { p: 'whole', q: 'whole' }),
    file('q4', { p: 'whole' }, [missing('q', ['/q/MatMul [2,2]'])]),
  ];
  const { problems } = planFiles(['p', 'q'], files);
  expect(problems).toMatchObject([
    {
      path: 'q',
      reason: 'is in fp32 and not in q4, which shares other modules with it',
      candidates: ['/q/MatMul [2,2]'],
    },
  ]);
});

it('of a missing module the problem that says most is told', () => {
  const ambiguous: TargetProblem = { path: 'p', problem: 'ambiguous', reason: 'two', candidates: ['x', 'y'] };
  const files = [file('a', {}, [missing('p', ['z'])]), file('b', {}, [ambiguous])];
  expect(planFiles(['p'], files).problems).toEqual([{ ...ambiguous, candidates: ['x of b', 'y of b'] }]);
});

it('modules with the same problem are put together in the message', () => {
  expect(targetsMessage(5, [missing('p'), missing('q', ['z']), missing('r')])).toBe(
    "3 of the adapter's 5 modules cannot be attached, so nothing was written: " +
      'p, r (no linear layer of this export has that path); ' +
      'q (no linear layer of this export has that path; closest: z)',
  );
});
