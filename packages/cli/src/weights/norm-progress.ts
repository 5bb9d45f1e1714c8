import type { NormProgress } from '@ort-dora/rewriter';
import type { Pace } from '../pace.js';
import { count } from '../table.js';
import type { Progress } from '../terminal.js';

/** Shows how far the norms of a model are: the module in hand, bytes of weights a second, and the time left. */
export function showNorms(
  progress: Progress,
  model: string,
  { done, total, doneBytes, totalBytes, path }: NormProgress,
  pace: Pace,
): void {
  progress.update(
    `${model}: computing the norms of ${count(total, 'module')}`,
    doneBytes / totalBytes,
    path && `${done + 1}: ${path}`,
    pace.describe(doneBytes, totalBytes),
  );
}
