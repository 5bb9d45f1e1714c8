// Whether two ONNX files are the same model: then one session serves both.
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Compares the graphs, and the files with external data that they name; by inode where that settles it, else by content. */
export async function sameGraph(first: string, second: string): Promise<boolean> {
  if (first === second) return true;
  if (!(await sameFile(first, second))) return false;
  for (const name of await externalData(first)) {
    if (!(await sameFile(join(dirname(first), name), join(dirname(second), name)))) return false;
  }
  return true;
}

/**
 * The files below the graph's folder whose path the graph contains. A location is stored as plain text, so this finds all of
 * them, and perhaps one more, which costs a comparison.
 */
async function externalData(graph: string): Promise<string[]> {
  const entries = await readdir(dirname(graph), { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.onnx'))
    .map((entry) => join(entry.parentPath, entry.name).slice(dirname(graph).length + 1));
  if (names.length === 0) return [];
  const bytes = await readFile(graph);
  return names.filter((name) => bytes.includes(name));
}

async function sameFile(first: string, second: string): Promise<boolean> {
  const [a, b] = await Promise.all([first, second].map((path) => stat(path, { bigint: true }).catch(() => undefined)));
  if (a === undefined || b === undefined || a.size !== b.size) return false;
  return (a.dev === b.dev && a.ino === b.ino) || sameContent(first, second);
}

const CHUNK = 1 << 20;

async function sameContent(first: string, second: string): Promise<boolean> {
  const files = await Promise.all([open(first), open(second)]);
  try {
    const buffers = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)] as const;
    for (let at = 0; ; at += CHUNK) {
      const [a, b] = await Promise.all(files.map((file, i) => file.read(buffers[i]!, 0, CHUNK, at)));
      if (a!.bytesRead !== b!.bytesRead) return false;
      if (a!.bytesRead === 0) return true;
      if (!buffers[0].subarray(0, a!.bytesRead).equals(buffers[1].subarray(0, a!.bytesRead))) return false;
    }
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}
