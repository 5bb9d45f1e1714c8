// Builds the native addon from the sources in this package: npm's install script, and by hand `node install.js`.
// Whatever is missing is named with the command that installs it, and the exit code stays 0: without the addon, models run on
// stock onnxruntime-node.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('.', import.meta.url));
const note = join(root, 'build', 'not-built.txt');
const log = (line) => console.error(`@ort-dora/runtime: ${line}`);

try {
  const { rebuilt } = await build();
  await rm(note, { force: true });
  log(rebuilt ? 'native addon built' : 'native addon is up to date');
} catch (error) {
  await mkdir(join(root, 'build'), { recursive: true });
  await writeFile(note, `${error.message}\n`);
  log(`the native addon was not built: ${error.message}`);
  log('Models run on stock onnxruntime-node until it is. To build it later: npm rebuild @ort-dora/runtime');
}

async function build() {
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
  return buildWithCMake({
    source: root,
    build: join(root, 'build', 'release'),
    inputs: ['CMakeLists.txt', 'native'],
    options: {
      NODE_ADDON_API_DIR: require('node-addon-api').include_dir,
      NODE_API_HEADERS_DIR: require('node-api-headers').include_dir,
      ORT_INCLUDE_DIR: await ortHeaders({ log }),
    },
    log,
  });
}
