// Makes two folders that transformers.js can load out of the demo's one, whose exports share their weights:
// node models/demo-folders.mjs OUT  →  OUT/base and OUT/reading.
// Copies (by reference where the file system can): onnxruntime refuses external data behind a symbolic link, Python's
// onnx refuses data files that have several hard links.
import { constants, copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const DEMO = fileURLToPath(new URL('fixtures/demo/', import.meta.url));
const DECODER = 'decoder_model_merged';
const VARIANTS = { base: `${DECODER}.onnx`, reading: `${DECODER}_reading.onnx` };

/** Writes one complete folder a variant under `out`; existing ones are replaced. Returns their paths by variant. */
export function makeDemoFolders(out) {
  return Object.fromEntries(
    Object.entries(VARIANTS).map(([variant, decoder]) => {
      const folder = resolve(out, variant);
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(join(folder, 'onnx'), { recursive: true });
      for (const name of filesOf(DEMO)) place(join(DEMO, name), join(folder, name));
      for (const name of filesOf(join(DEMO, 'onnx'))) {
        const isDecoder = name.startsWith(DECODER) && name.endsWith('.onnx');
        if (!isDecoder) place(join(DEMO, 'onnx', name), join(folder, 'onnx', name));
      }
      place(join(DEMO, 'onnx', decoder), join(folder, 'onnx', `${DECODER}.onnx`));
      return [variant, folder];
    }),
  );
}

function filesOf(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : []));
}

function place(from, to) {
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const out = process.argv[2];
  if (out === undefined) {
    console.error('usage: node models/demo-folders.mjs OUT');
    process.exitCode = 2;
  } else {
    console.log(Object.values(makeDemoFolders(out)).join('\n'));
  }
}
