// Whether and how the CUDA half is built: as CMake cache entries.
import { cudaArchitectures, cudaCompiler } from '../native-build/index.js';

/**
 * @param {{ architectures?: string[], log?: (line: string) => void }} [options] architectures: default, those of the machine
 * @returns {Promise<Record<string, string>>} empty where there is nothing to build for, or no compiler; `log` says why
 */
export async function cuda({ architectures = cudaArchitectures(), log = () => {} } = {}) {
  if (architectures.length === 0) {
    log('no NVIDIA GPU here: the CUDA library is not built (ORT_DORA_CUDA_ARCHITECTURES=90a, say, builds it anyway)');
    return {};
  }
  try {
    return { ORT_DORA_NVCC: await cudaCompiler({ log }), ORT_DORA_CUDA_ARCHITECTURES: architectures.join(';') };
  } catch (error) {
    log(`the CUDA library is not built, the CPU library alone is: ${error.message}`);
    return {};
  }
}
