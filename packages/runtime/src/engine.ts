// Which of the two runtimes a process uses: the native addon, or stock onnxruntime-node where it cannot be.
import { addonState } from './addon.js';
import { unexpected } from './errors.js';
import { sayOnce } from './notice.js';

/** `addon` is ours; `onnxruntime-node` is the stock binding that stands in for it. */
export type Backend = 'addon' | 'onnxruntime-node';

let chosen: Backend | undefined;

/**
 * ORT_DORA_RUNTIME, else the addon if it loads, else onnxruntime-node, which is said on stderr. The same for the life of a thread.
 * @throws RuntimeError ADDON_UNAVAILABLE when ORT_DORA_RUNTIME=addon and it does not load
 */
export function backend(): Backend {
  chosen ??= choose();
  return chosen;
}

export function usesAddon(): boolean {
  return backend() === 'addon';
}

function choose(): Backend {
  const wanted = process.env.ORT_DORA_RUNTIME || undefined;
  if (wanted === 'onnxruntime-node') return wanted;
  if (wanted !== undefined && wanted !== 'addon') {
    throw unexpected('environment variable ORT_DORA_RUNTIME', "'addon' or 'onnxruntime-node'", wanted);
  }
  const state = addonState();
  if (state.status === 'loaded') return 'addon';
  if (wanted === 'addon') throw state.error;
  sayOnce(
    'fallback',
    `models run on stock onnxruntime-node, without custom operators, bfloat16 and aborts: ${state.error.message}`,
  );
  return 'onnxruntime-node';
}
