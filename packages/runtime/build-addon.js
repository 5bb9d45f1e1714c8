import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('.', import.meta.url));

/**
 * Builds the native addon, unless its sources are those of the last build.
 * @param {object} request
 * @param {boolean} [request.sanitize] with AddressSanitizer and UndefinedBehaviorSanitizer, in a folder of its own
 * @param {(line: string) => void} request.log progress, one short line at a time
 * @returns {Promise<{ rebuilt: boolean, path: string }>} path: the addon
 * @throws {Error} naming what is missing, with the command that installs it, or with the compiler's last lines
 */
export async function buildAddon({ sanitize = false, log }) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`it is made for linux-x64, this is ${process.platform}-${process.arch}`);
  }
  const { buildWithCMake, missingTools, ortHeaders } = await import('@ort-dora/custom-ops/native-build');
  const missing = missingTools();
  if (missing.length > 0) {
    const tools = missing.map(({ tool }) => tool).join(', ');
    throw new Error(`${tools} missing. Install: ${missing.map(({ install }) => install).join(' && ')}`);
  }
  const require = createRequire(import.meta.url);
  const build = join(root, 'build', sanitize ? 'sanitized' : 'release');
  const { rebuilt } = await buildWithCMake({
    source: root,
    build,
    inputs: ['CMakeLists.txt', 'native'],
    options: {
      NODE_ADDON_API_DIR: require('node-addon-api').include_dir,
      NODE_API_HEADERS_DIR: require('node-api-headers').include_dir,
      ORT_INCLUDE_DIR: await ortHeaders({ log }),
      ...(sanitize && { ORT_DORA_SANITIZE: 'ON' }),
    },
    log,
  });
  return { rebuilt, path: join(build, 'ort_dora_runtime.node') };
}
