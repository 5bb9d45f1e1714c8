import { copyFile, link, open, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  type ExternalLocation,
  externalTensors,
  type ModelFile,
  setExternalLocation,
  type TensorProto,
  writeFileAtomically,
} from '@ort-dora/onnx';
import { RewriteError } from './error.js';
import type { Staging } from './staging.js';

/**
 * Sees to it that the external data of a rewritten model is found from `outputPath`: in place in the same folder, else by
 * hard link, else by copy; with `compact`, in one new file `OUT_data` that holds only what is used, each tensor once.
 *
 * @throws RewriteError `exists` where the output's folder has another file of that name.
 */
export async function stageExternalData(
  file: ModelFile,
  outputPath: string,
  staging: Staging,
  options: { readonly compact?: boolean; readonly signal?: AbortSignal },
): Promise<void> {
  const external = externalTensors(file.model);
  if (external.length === 0) return;
  const folder = dirname(resolve(outputPath));
  const inPlace = (await realpath(file.folder)) === (await realpath(folder).catch(() => folder));
  if (options.compact === true) {
    const taken = new Set(inPlace ? external.map(({ place }) => place.location) : []);
    await compact(
      file,
      external,
      join(folder, freeName(`${basename(outputPath)}_data`, taken)),
      staging,
      options.signal,
    );
    return;
  }
  if (inPlace) return;
  for (const location of new Set(external.map(({ place }) => place.location))) {
    options.signal?.throwIfAborted();
    await linkOrCopy((await file.resolveLocation(location)).path, join(folder, location), staging);
  }
}

async function linkOrCopy(source: string, target: string, staging: Staging): Promise<void> {
  if ((await stat(target).catch(() => undefined)) !== undefined) {
    if (await sameContent(source, target)) return;
    throw new RewriteError(
      'exists',
      `${target}: another file has the name of the model's data; remove it, or write to another folder`,
    );
  }
  const temporary = await staging.stage(target);
  await link(source, temporary).catch(() => copyFile(source, temporary));
}

/** Tensors that reach a page are put at its start, so that runtimes can map the file. */
const PAGE_BYTES = 4096;
const WORD_BYTES = 16;

async function compact(
  file: ModelFile,
  external: readonly { readonly tensor: TensorProto; readonly place: ExternalLocation }[],
  target: string,
  staging: Staging,
  signal: AbortSignal | undefined,
): Promise<void> {
  const key = ({ location, offset, length }: ExternalLocation) => `${location}\n${offset}\n${length}`;
  const places = new Map<string, { readonly tensor: TensorProto; readonly offset: number; readonly length: number }>();
  let end = 0;
  for (const { tensor, place } of external) {
    if (places.has(key(place))) continue;
    const alignment = place.length >= PAGE_BYTES ? PAGE_BYTES : WORD_BYTES;
    const offset = Math.ceil(end / alignment) * alignment;
    places.set(key(place), { tensor, offset, length: place.length });
    end = offset + place.length;
  }
  async function* chunks() {
    let written = 0;
    for (const { tensor, offset, length } of places.values()) {
      signal?.throwIfAborted();
      if (offset > written) yield new Uint8Array(offset - written);
      yield* file.streamBytes(tensor);
      written = offset + length;
    }
  }
  await writeFileAtomically(await staging.stage(target), chunks());
  // Only now: streaming needs the old places.
  for (const { tensor, place } of external) {
    const { offset, length } = places.get(key(place))!;
    setExternalLocation(tensor, { location: basename(target), offset, length });
  }
}

function freeName(wanted: string, taken: ReadonlySet<string>): string {
  let name = wanted;
  for (let suffix = 1; taken.has(name); suffix++) name = `${wanted}_${suffix}`;
  return name;
}

async function sameContent(left: string, right: string): Promise<boolean> {
  const [a, b] = await Promise.all([stat(left), stat(right)]);
  if (a.dev === b.dev && a.ino === b.ino) return true;
  if (a.size !== b.size) return false;
  await using first = await open(left);
  await using second = await open(right);
  const [x, y] = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)];
  for (let at = 0; at < a.size; at += CHUNK_BYTES) {
    const [read, other] = await Promise.all([first.read(x, 0, CHUNK_BYTES, at), second.read(y, 0, CHUNK_BYTES, at)]);
    if (!x.subarray(0, read.bytesRead).equals(y.subarray(0, other.bytesRead))) return false;
  }
  return true;
}

const CHUNK_BYTES = 4 * 2 ** 20;
