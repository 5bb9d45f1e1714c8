// Builds the operator library into build/release. npm's install script, and `npm run build`.
// As the install script (--install) it never fails: what is missing is named, and models run through their function bodies.
import { arch, argv, exit, platform } from 'node:process';
import { fileURLToPath } from 'node:url';
import { buildWithCMake } from '../native-build/index.js';
import { dependencies } from './dependencies.js';

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const log = (line) => console.error(`@ort-dora/custom-ops: ${line}`);
const installing = argv.includes('--install');

try {
  if (platform !== 'linux' || arch !== 'x64')
    throw new Error(`the library is made for linux-x64, this is ${platform}-${arch}`);
  const { rebuilt } = await buildWithCMake({
    source: root,
    build: `${root}/build/release`,
    target: 'ort_dora_ops',
    options: { CMAKE_BUILD_TYPE: 'Release', ...(await dependencies({ log })) },
    inputs: ['CMakeLists.txt', 'cmake', 'include', 'src'],
    log,
  });
  log(rebuilt ? 'operator library built' : 'operator library is up to date');
} catch (error) {
  log(`the operator library was not built: ${error.message}`);
  log(
    'Models run through the function bodies they carry until it is. To build it later: npm rebuild @ort-dora/custom-ops',
  );
  if (!installing) exit(1);
}
