/**
 * Checks that no test can miss, since without them the answer is the same. An entry that a test misses after all, or that
 * is about no check that exists, makes the run fail.
 */
export const EQUIVALENT = [
  {
    file: 'src/match/convolution-gain.ts',
    within: 'rowsOf',
    check: 'source === before',
    taken: false,
    reason: 'it ends a loop that has come to rest: further steps change nothing, and their number is bounded',
  },
  {
    file: 'src/match/delta.ts',
    within: 'unwrap',
    check: 'next === source',
    taken: false,
    reason: 'it ends a loop that has come to rest: further steps change nothing, and their number is bounded',
  },
  {
    file: 'src/match/model-facts.ts',
    within: 'callSites',
    check: 'scope === undefined',
    taken: false,
    reason: 'calls of what is no function of the model would be kept for no scope, and nobody asks for those',
  },
  {
    file: 'src/fusions/linear-proof.ts',
    within: 'withoutZeros',
    check: 'bias === undefined',
    taken: false,
    reason: 'for the type checker: nothing is stored under no name, and no name is traced to itself',
  },
];
