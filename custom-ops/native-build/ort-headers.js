import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { debianPackage } from './debian.js';
import { NativeBuildError } from './error.js';

/** The C API version that the native code asks the runtime for. The API is append-only: newer headers and runtimes serve. */
export const ORT_API_VERSION = 23;

/**
 * A folder with `onnxruntime_cxx_api.h` of API 23 or newer: `ORT_INCLUDE_DIR`, else the system's, else Debian's
 * libonnxruntime-dev, unpacked in the cache.
 * @param {{ log?: (line: string) => void }} [options]
 * @returns {Promise<string>}
 * @throws {NativeBuildError} when ORT_INCLUDE_DIR has no such headers, or when none can be fetched
 */
export async function ortHeaders({ log } = {}) {
  const named = process.env.ORT_INCLUDE_DIR;
  if (named) {
    const version = await apiVersion(named);
    if (version >= ORT_API_VERSION) return named;
    throw new NativeBuildError(
      `ORT_INCLUDE_DIR=${named} ${version === 0 ? 'holds no onnxruntime_c_api.h' : `holds headers of API ${version}`}`,
      { remedy: `Name a folder with ONNX Runtime headers of API ${ORT_API_VERSION} or newer, or unset it.` },
    );
  }
  for (const folder of ['/usr/local/include/onnxruntime', '/usr/include/onnxruntime']) {
    if ((await apiVersion(folder)) >= ORT_API_VERSION) return folder;
  }
  // Debian 12 has none and Debian 13 has API 21, so the mirror's newest suite it is.
  const root = await debianPackage('libonnxruntime-dev', { suite: 'sid', ...(log && { log }) });
  return join(root, 'usr/include/onnxruntime');
}

async function apiVersion(folder) {
  const header = await readFile(join(folder, 'onnxruntime_c_api.h'), 'utf8').catch(() => '');
  return Number(/^#define ORT_API_VERSION (\d+)/m.exec(header)?.[1] ?? 0);
}
