// Log-probabilities of the model's own distribution, before penalties, temperature and the like.

/** One token that the model might have chosen. */
export interface Candidate {
  readonly id: number;
  /** Natural logarithm. */
  readonly logprob: number;
}

export interface Choice extends Candidate {
  /** The likeliest tokens, likeliest first, as many as were asked for. */
  readonly likeliest: readonly Candidate[];
}

/** The log-probability of `id`, and the `count` likeliest tokens. */
export function logprobs(logits: Float32Array, id: number, count: number): Choice {
  const highest = logits.reduce((highest, logit) => Math.max(highest, logit), Number.NEGATIVE_INFINITY);
  const normaliser = highest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
  const likeliest: Candidate[] = [];
  for (let other = 0; other < logits.length && count > 0; other++) {
    const logprob = logits[other]! - normaliser;
    if (likeliest.length === count && logprob <= likeliest.at(-1)!.logprob) continue;
    if (likeliest.length === count) likeliest.pop();
    const at = likeliest.findIndex((candidate) => candidate.logprob < logprob);
    likeliest.splice(at < 0 ? likeliest.length : at, 0, { id: other, logprob });
  }
  return { id, logprob: logits[id]! - normaliser, likeliest };
}
