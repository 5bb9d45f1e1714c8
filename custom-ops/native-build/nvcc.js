import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, withLock } from './cache.js';
import { NativeBuildError } from './error.js';
import { run } from './run.js';

/** nvcc and what it needs beside it, as NVIDIA publishes them on PyPI. Version 13.0 fits every driver since R580. */
const PACKAGES = ['nvidia-cuda-nvcc', 'nvidia-nvvm', 'nvidia-cuda-crt', 'nvidia-cuda-runtime', 'nvidia-cuda-cccl'];
const VERSION = '13.0';
const OLDEST = 12.8;

/**
 * The path of a CUDA compiler of version 12.8 or newer: `ORT_DORA_NVCC`, else that of `CUDA_HOME`, else the one on the
 * PATH or in /usr/local/cuda, else NVIDIA's packages from PyPI, unpacked in the cache (about 270 MB).
 * @param {{ log?: (line: string) => void }} [options]
 * @returns {Promise<string>}
 * @throws {NativeBuildError} when ORT_DORA_NVCC is no such compiler, or when there is none and none can be fetched
 */
export async function cudaCompiler({ log = () => {} } = {}) {
  const named = process.env.ORT_DORA_NVCC;
  if (named) {
    if (nvccVersion(named) >= OLDEST) return named;
    throw new NativeBuildError(`ORT_DORA_NVCC=${named} is no nvcc of version ${OLDEST} or newer`, {
      remedy: 'Name one that is, or unset it.',
    });
  }
  const home = process.env.CUDA_HOME;
  const installed = [...(home ? [join(home, 'bin/nvcc')] : []), onPath(), '/usr/local/cuda/bin/nvcc'];
  for (const path of installed) {
    if (path !== undefined && nvccVersion(path) >= OLDEST) return path;
  }
  return join(await nvccPackages(log), 'nvidia/cu13/bin/nvcc');
}

/**
 * The architectures to compile for, as nvcc names them: `ORT_DORA_CUDA_ARCHITECTURES` (for example `80;89;90a`; `none`:
 * no CUDA), else those of the NVIDIA GPUs of this machine. Empty where there are none.
 * @returns {string[]}
 */
export function cudaArchitectures() {
  const named = process.env.ORT_DORA_CUDA_ARCHITECTURES;
  if (named) return named === 'none' ? [] : named.split(/[;,]/).filter(Boolean);
  const { status, stdout } = spawnSync('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader'], {
    encoding: 'utf8',
  });
  if (status !== 0) return [];
  const found = stdout.split('\n').flatMap((line) => /^(\d+)\.(\d+)\s*$/.exec(line)?.slice(1).join('') ?? []);
  // The tensor-core instructions of Hopper are those of 90a alone.
  return [...new Set(found)].map((architecture) => (architecture === '90' ? '90a' : architecture));
}

function onPath() {
  const { status, stdout } = spawnSync('sh', ['-c', 'command -v nvcc'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** For example 13; 0 where there is no nvcc. */
function nvccVersion(path) {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  return Number(/release (\d+\.\d+)/.exec(stdout ?? '')?.[1] ?? 0);
}

async function nvccPackages(log) {
  const folder = join(cacheFolder(), 'nvcc', VERSION);
  if (existsSync(folder)) return folder;
  return withLock(`${folder}.lock`, async () => {
    if (existsSync(folder)) return folder;
    log(`fetching the CUDA compiler ${VERSION} from PyPI`);
    const temporary = await mkdtemp(`${folder}.`);
    try {
      const wanted = PACKAGES.map((name) => `${name}==${VERSION}.*`);
      const pip = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--no-cache-dir', '--only-binary=:all:'];
      await run('python3', [
        ...pip,
        '--disable-pip-version-check',
        '--root-user-action=ignore',
        '--target',
        temporary,
        ...wanted,
      ]);
      await rename(temporary, folder);
      return folder;
    } catch (cause) {
      throw new NativeBuildError(`the CUDA compiler could not be fetched: ${cause.message}`, {
        cause,
        remedy: `Install CUDA ${OLDEST} or newer, or check that this works: python3 -m pip download --no-deps ${PACKAGES[0]}==${VERSION}.*`,
      });
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  });
}
