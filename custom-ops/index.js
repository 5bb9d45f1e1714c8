import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * The path of the built operator library: the environment variable ORT_DORA_OPS_LIBRARY, else the file that the install
 * script or `npm run build` made. Undefined when there is neither: rewritten models then run through their function bodies.
 * @returns {string | undefined}
 * @throws {Error} when ORT_DORA_OPS_LIBRARY names a file that does not exist
 */
export function opsLibraryPath() {
  const named = process.env.ORT_DORA_OPS_LIBRARY;
  if (named) {
    if (existsSync(named)) return named;
    throw new Error(`ORT_DORA_OPS_LIBRARY=${named} does not exist. Name a built libort_dora_ops.so, or unset it.`);
  }
  const built = fileURLToPath(new URL('build/release/libort_dora_ops.so', import.meta.url));
  return existsSync(built) ? built : undefined;
}
