import { checkedGain, type NormCompute, type NormRequest } from './norm.js';

/** How far the norms of a model are. */
export interface NormProgress {
  readonly stage: 'norm';
  /** The module whose g is computed next; undefined when all are there. */
  readonly path: string | undefined;
  /** Modules. */
  readonly done: number;
  readonly total: number;
  /** Of W, A and B. */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** The gains of rewritten modules: places in the graph first, numbers when all modules are known. */
export class PendingGains {
  readonly #pending: { readonly request: NormRequest; readonly gain: Float32Array }[] = [];

  /** The memory that {@link compute} is going to put g into, zeros until then. */
  add(request: NormRequest): Float32Array {
    const gain = new Float32Array(request.outFeatures);
    this.#pending.push({ request, gain });
    return gain;
  }

  /** Computes all of them, in the order in which they were added. */
  async compute(compute: NormCompute, onProgress: (progress: NormProgress) => void = () => {}): Promise<void> {
    const requests = this.#pending.map(({ request }) => request);
    if (requests.length === 0) return;
    const sizes = requests.map(({ weight, loraA, loraB }) => weight.byteLength + loraA.byteLength + loraB.byteLength);
    const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
    const report = (done: number, doneBytes: number) =>
      onProgress({ stage: 'norm', path: requests[done]?.path, done, total: requests.length, doneBytes, totalBytes });
    let [done, doneBytes] = [0, 0];
    report(done, doneBytes);
    for await (const values of compute(requests)) {
      const { request, gain } = this.#pending[done]!;
      gain.set(checkedGain(values, request));
      doneBytes += sizes[done]!;
      report(++done, doneBytes);
    }
    if (done < requests.length) throw new RangeError(`${requests.length} norms were asked for, ${done} came`);
  }
}
