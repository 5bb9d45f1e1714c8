// Loads the native addon and, through it, ONNX Runtime: once a thread, with the reason kept if it cannot be.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import type { Binding, LoadedLibrary } from './binding.js';
import { RuntimeError } from './errors.js';
import { ortLibraryToLoad } from './ort-library.js';

// One level below the package's root, as src/ and as dist/.
const PACKAGE_ROOT = new URL('../', import.meta.url);

export interface LoadedAddon {
  readonly binding: Binding;
  readonly path: string;
  readonly library: LoadedLibrary;
}

export type AddonState =
  | { readonly status: 'loaded'; readonly addon: LoadedAddon }
  | { readonly status: 'unavailable'; readonly error: RuntimeError };

let state: AddonState | undefined;

/** Never throws; the state does not change any more in this thread. */
export function addonState(): AddonState {
  state ??= load();
  return state;
}

/** The binding of an addon that is known to be loaded. */
export function binding(): Binding {
  const found = addonState();
  if (found.status === 'unavailable') throw found.error;
  return found.addon.binding;
}

function load(): AddonState {
  try {
    const path = addonPath();
    const library = ortLibraryToLoad();
    const native = createRequire(import.meta.url)(path) as Binding;
    const loaded = native.load(library.path, library.as);
    if (library.version !== undefined && loaded.version !== library.version) {
      throw new Error(
        `${loaded.path} is ONNX Runtime ${loaded.version}, but onnxruntime-node is ${library.version}: reinstall onnxruntime-node`,
      );
    }
    // process.exit() ends no environment; those of workers end with their workers.
    if (isMainThread) process.once('exit', () => native.settleBeforeExit());
    return { status: 'loaded', addon: { binding: native, path, library: loaded } };
  } catch (cause) {
    const error =
      cause instanceof RuntimeError
        ? cause
        : new RuntimeError('ADDON_UNAVAILABLE', `the native addon cannot be loaded: ${(cause as Error).message}`, {
            cause,
          });
    return { status: 'unavailable', error };
  }
}

/** ORT_DORA_ADDON, else what install.js built. */
function addonPath(): string {
  const named = process.env.ORT_DORA_ADDON;
  if (named) {
    if (existsSync(named)) return named;
    throw new RuntimeError(
      'ADDON_UNAVAILABLE',
      `ORT_DORA_ADDON=${named} does not exist. Name a built ort_dora_runtime.node, or unset it.`,
    );
  }
  const built = fileURLToPath(new URL('build/release/ort_dora_runtime.node', PACKAGE_ROOT));
  if (existsSync(built)) return built;
  throw new RuntimeError('ADDON_UNAVAILABLE', whyNotBuilt());
}

/** install.js leaves its reason where it would have left the addon. */
function whyNotBuilt(): string {
  const note = new URL('build/not-built.txt', PACKAGE_ROOT);
  if (existsSync(note)) return `the native addon is not built: ${readFileSync(note, 'utf8').trim()}`;
  return `the native addon is not built. Build it: node ${fileURLToPath(new URL('install.js', PACKAGE_ROOT))}`;
}
