// Builds the operator library into build/release; where there is an NVIDIA GPU, also the one with CUDA kernels. npm's install script, and `npm run build`.
// As the install script (--install) it never fails: what is missing is named, and models run through their function bodies.
import { arch, argv, exit, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import { buildWithCMake } from '../native-build/index.js';
import { cuda } from './cuda.js';
import { dependencies } from './dependencies.js';

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const log = (line) => console.error(`@ort-dora/custom-ops: ${line}`);
const installing = argv.includes('--install');

try {
  if (platform !== 'linux' || arch !== 'x64')
    throw new Error(`the library is made for linux-x64, this is ${platform}-${arch}`);
  const cudaOptions = await cuda({ log });
  const options = { CMAKE_BUILD_TYPE: 'Release', ...(await dependencies({ log })), ...cudaOptions };
  const build = (target) =>
    buildWithCMake({
      source: root,
      build: `${root}/build/release`,
      target,
      options,
      inputs: ['CMakeLists.txt', 'cmake', 'include', 'src'],
      log,
    });
  const { rebuilt } = await build('ort_dora_ops');
  log(rebuilt ? 'operator library built' : 'operator library is up to date');
  if (cudaOptions.ORT_DORA_NVCC !== undefined) {
    const { rebuilt: cudaRebuilt } = await build('ort_dora_ops_cuda');
    log(cudaRebuilt ? 'CUDA operator library built' : 'CUDA operator library is up to date');
  }
} catch (error) {
  log(`the operator library was not built: ${error.message}`);
  log(
    'Models run through the function bodies they carry until it is. To build it later: npm rebuild @ort-dora/custom-ops',
  );
  if (!installing) exit(1);
}
