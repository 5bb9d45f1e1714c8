/** Sources in which each check can be taken out while they run. */

/**
 * The text of a source in which each check is asked of `__check(id, value)`, which gives the value itself, or what the
 * condition is without the check.
 *
 * @param {string} text
 * @param {readonly (import('./find-checks.mjs').Check & { readonly id: number })[]} checks those of this source
 */
export function instrumented(text, checks) {
  const insertions = checks.flatMap(({ id, start, end }) => [
    { at: start, length: end - start, opens: true, text: `__check(${id}, (` },
    { at: end, length: end - start, opens: false, text: '))' },
  ]);
  // Where several begin or end, the longest is the outermost.
  insertions.sort((a, b) => a.at - b.at || a.opens - b.opens || (a.opens ? b.length - a.length : a.length - b.length));
  let result = '';
  let done = 0;
  for (const { at, text: inserted } of insertions) {
    result += text.slice(done, at) + inserted;
    done = at;
  }
  return result + text.slice(done);
}
