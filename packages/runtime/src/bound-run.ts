// Runs that follow one another in the same memory: what `Session.bind` gives.
import type { NativeBoundRunHandle } from './binding.js';
import { fromNative, invalidArgument } from './errors.js';
import { abortable, nativeOptions } from './run-options.js';
import type { RunOptions } from './session.js';

export type BoundRunOptions = Pick<RunOptions, 'signal' | 'configEntries' | 'tag' | 'logSeverityLevel'>;

export class BoundRun {
  readonly #native: NativeBoundRunHandle;
  readonly #label: string;
  #inFlight = false;

  /** Made by `Session.bind`. */
  constructor(native: NativeBoundRunHandle, label: string) {
    this.#native = native;
    this.#label = label;
  }

  /**
   * Reads the bound inputs and writes the bound outputs, off the event loop. One run at a time: they would write into the same memory.
   * @throws RuntimeError; the signal's reason once it is aborted
   */
  async run(options: BoundRunOptions = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    this.#checkIdle();
    const given = nativeOptions(options);
    this.#inFlight = true;
    try {
      const id: number[] = [];
      const promise = this.#native.run(given, id);
      await abortable(promise, id[0]!, signal);
    } catch (error) {
      throw fromNative(error, this.#label, signal);
    } finally {
      this.#inFlight = false;
    }
  }

  /** The same while the calling thread waits. */
  runSync(options: BoundRunOptions = {}): void {
    options.signal?.throwIfAborted();
    this.#checkIdle();
    try {
      this.#native.runSync(nativeOptions(options));
    } catch (error) {
      throw fromNative(error, this.#label);
    }
  }

  /** Gives up the tensors and the session's model. A run in flight ends as it would. Idempotent. */
  dispose(): void {
    this.#native.dispose();
  }

  #checkIdle(): void {
    if (this.#inFlight)
      throw invalidArgument(`${this.#label}: this bound run is in flight; await it, or bind other tensors`);
  }
}
