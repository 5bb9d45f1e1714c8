// Where ONNX Runtime itself comes from: the library that the installed onnxruntime-node ships.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { libraryBesideProvider, PROVIDER_VARIABLE } from './cuda/provider-folder.js';
import { RuntimeError } from './errors.js';

const require = createRequire(import.meta.url);

export interface OrtLibrary {
  readonly path: string;
  /** The version it must have: onnxruntime-node's own. Undefined for a library named by ORT_DORA_ORT_LIBRARY. */
  readonly version: string | undefined;
}

/** The library, and the link through which it is loaded, where CUDA's provider lies elsewhere. */
export function ortLibraryToLoad(): OrtLibrary & { readonly as: string | undefined } {
  const library = findOrtLibrary();
  try {
    return { ...library, as: libraryBesideProvider(library.path) };
  } catch (cause) {
    throw unavailable(`${PROVIDER_VARIABLE} cannot be followed: ${(cause as Error).message}`);
  }
}

/**
 * The file that onnxruntime-node's own binding links to. It must be this one and no other: a second library of the same
 * soname in a process is never mapped, and whoever comes second silently gets the first.
 */
export function findOrtLibrary(): OrtLibrary {
  const named = process.env.ORT_DORA_ORT_LIBRARY;
  if (named) {
    if (existsSync(named)) return { path: named, version: undefined };
    throw unavailable(`ORT_DORA_ORT_LIBRARY=${named} does not exist. Name a libonnxruntime, or unset it.`);
  }
  const manifest = require.resolve('onnxruntime-node/package.json');
  const root = join(dirname(manifest), 'bin');
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  const apis = existsSync(root) ? readdirSync(root).filter((name) => /^napi-v\d+$/.test(name)) : [];
  for (const api of apis.sort((a, b) => Number(b.slice(6)) - Number(a.slice(6)))) {
    const path = join(root, api, process.platform, process.arch, 'libonnxruntime.so.1');
    if (existsSync(path)) return { path, version };
  }
  throw unavailable(
    `onnxruntime-node ${version} ships no libonnxruntime.so.1 for ${process.platform}-${process.arch} (looked in ${root})`,
  );
}

function unavailable(message: string): RuntimeError {
  return new RuntimeError('ADDON_UNAVAILABLE', message);
}
