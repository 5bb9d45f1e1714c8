// Runs code that a model's folder supplies (a template, a tokenizer's regular expressions), which need not come to an end.
import { createContext, Script } from 'node:vm';
import { VlmError } from '../errors.js';

// The timeout of a vm script interrupts everything that runs below it, our own functions included.
const context = createContext({ task: undefined as (() => unknown) | undefined });
const script = new Script('task()');

/** @throws VlmError MODEL_FAILED when `task`, which must be synchronous, takes longer */
export function withTimeLimit<T>(milliseconds: number, what: string, task: () => T): T {
  const outer = context.task;
  context.task = task;
  try {
    return script.runInContext(context, { timeout: milliseconds });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new VlmError('MODEL_FAILED', `${what} did not come to an end within ${milliseconds} ms`, { cause: error });
  } finally {
    context.task = outer;
  }
}
