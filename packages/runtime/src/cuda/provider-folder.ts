// Where CUDA's execution provider lies, and how ONNX Runtime is made to find it there.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, realpathSync, renameSync, symlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';

export const PROVIDER_VARIABLE = 'ORT_DORA_CUDA_PROVIDER_DIR';

/** The provider, and the library that passes it ONNX Runtime's own functions. */
export const PROVIDER_FILES = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'] as const;

/** The folder that the environment names, else that of ONNX Runtime's library. */
export function cudaProviderFolder(ortLibrary: string): string {
  const named = process.env[PROVIDER_VARIABLE];
  return named ? resolve(named) : dirname(realpathSync(ortLibrary));
}

/**
 * ONNX Runtime looks for its providers in the folder from which its own library was loaded, and nowhere else. So where they are in another
 * one, it is loaded through a link in a folder that has links to all of them. Undefined where that is not needed: the provider lies beside
 * it, or is not there at all (which sessions that want it are going to say).
 * @throws Error if the links cannot be made
 */
export function libraryBesideProvider(ortLibrary: string): string | undefined {
  const library = realpathSync(ortLibrary);
  const folder = cudaProviderFolder(library);
  const providers = PROVIDER_FILES.map((file) => join(folder, file));
  if (folder === dirname(library) || !providers.every((file) => existsSync(file))) return undefined;
  const files = [library, ...providers.map((file) => realpathSync(file))];
  const key = createHash('sha256').update(files.join('\0')).digest('hex').slice(0, 16);
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const links = join(cache, 'ort-dora', 'onnxruntime', key);
  mkdirSync(links, { recursive: true });
  const names = [basename(ortLibrary), ...PROVIDER_FILES];
  names.forEach((name, i) => {
    // Renamed into place: another process may be making the same ones.
    const draft = join(links, `.${name}.${process.pid}`);
    symlinkSync(files[i]!, draft);
    renameSync(draft, join(links, name));
  });
  return join(links, basename(ortLibrary));
}
