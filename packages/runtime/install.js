// Builds the native addon from the sources in this package: npm's install script, and by hand `node install.js`.
// Whatever is missing is named with the command that installs it, and the exit code stays 0: without the addon, models run on
// stock onnxruntime-node.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon } from './build-addon.js';

const root = fileURLToPath(new URL('.', import.meta.url));
const note = join(root, 'build', 'not-built.txt');
const log = (line) => console.error(`@ort-dora/runtime: ${line}`);

try {
  const { rebuilt } = await buildAddon({ log });
  await rm(note, { force: true });
  log(rebuilt ? 'native addon built' : 'native addon is up to date');
} catch (error) {
  await mkdir(join(root, 'build'), { recursive: true });
  await writeFile(note, `${error.message}\n`);
  log(`the native addon was not built: ${error.message}`);
  log('Models run on stock onnxruntime-node until it is. To build it later: npm rebuild @ort-dora/runtime');
}
