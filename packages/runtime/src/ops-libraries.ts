// Which libraries of custom operators a session registers.
import { cudaOpsLibraryPath, opsLibraryPath } from '@ort-dora/custom-ops';
import { binding } from './addon.js';
import { usesAddon } from './engine.js';
import { fromNative, RuntimeError } from './errors.js';
import { sayOnce } from './notice.js';

/** Of @ort-dora/custom-ops: its library, and whether it can be used. */
export type OpsLibraryState =
  | { readonly status: 'registered'; readonly path: string }
  | { readonly status: 'absent' }
  | { readonly status: 'failed'; readonly path: string | undefined; readonly error: RuntimeError };

/** The library for sessions on the CPU, and the one in its place that has the kernels of CUDA too. */
type Kind = 'cpu' | 'cuda';

const PATHS = { cpu: opsLibraryPath, cuda: cudaOpsLibraryPath } as const;

const own = new Map<Kind, OpsLibraryState>();

/** Loads the library at the first call; the state does not change any more in this thread. Only with the addon. */
export function ownOpsLibrary(kind: Kind = 'cpu'): OpsLibraryState {
  let state = own.get(kind);
  if (state === undefined) {
    state = find(PATHS[kind]);
    own.set(kind, state);
  }
  return state;
}

/** @throws RuntimeError NOT_SUPPORTED for libraries that are named where stock onnxruntime-node runs, which has no way to register one */
export function resolveOpsLibraries(customOps: 'auto' | 'off' | readonly string[], kind: Kind): readonly string[] {
  if (customOps === 'off') return [];
  if (customOps !== 'auto') {
    if (!usesAddon() && customOps.length > 0) {
      throw new RuntimeError(
        'NOT_SUPPORTED',
        'customOps: stock onnxruntime-node cannot register operator libraries, and the native addon is not in use',
      );
    }
    return customOps;
  }
  if (!usesAddon()) return [];
  const state = ownOpsLibrary(kind);
  if (state.status === 'failed') {
    sayOnce(
      'ops-library',
      `the operator library is not used, models run through their function bodies: ${state.error.message}`,
    );
  }
  return state.status === 'registered' ? [state.path] : [];
}

function find(where: () => string | undefined): OpsLibraryState {
  let path: string | undefined;
  try {
    path = where();
    if (path === undefined) return { status: 'absent' };
    binding().tryOpsLibrary(path);
    return { status: 'registered', path };
  } catch (cause) {
    const native = fromNative(cause, 'operator library');
    const error =
      native instanceof RuntimeError
        ? native
        : new RuntimeError('OPS_LIBRARY_FAILED', (cause as Error).message, { cause });
    return { status: 'failed', path, error };
  }
}
