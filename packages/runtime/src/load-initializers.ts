// The weights of a model in memory of their own, for any number of sessions.
import { open } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { binding } from './addon.js';
import { place } from './checks.js';
import { type ElementType, elementTypeOf } from './element-types.js';
import { usesAddon } from './engine.js';
import { fromNative, RuntimeError, unexpected } from './errors.js';
import { byteLength, elementCount, handleOf, NativeTensor, viewOf } from './native-tensor.js';
import { fieldsIn, fieldsOf, type ReadRange, varint } from './protobuf-fields.js';

export interface LoadInitializersOptions {
  /** Where the sessions run: `cpu`, or a GPU, `cuda:N`. */
  readonly device: string;
  /** Bytes; what is smaller is left to each session. Default: 64 KB. */
  readonly atLeast?: number;
}

/**
 * Reads the initializers that a model keeps in external data, once, into one piece of memory on a device: for the option `initializers` of
 * the sessions that use them. It is freed when the last of these sessions and of the tensors is gone.
 * @throws RuntimeError MODEL_LOAD_FAILED if the model's external data is not what the model says it is
 */
export async function loadInitializers(
  model: string,
  { device, atLeast = 64 * 1024 }: LoadInitializersOptions,
): Promise<Record<string, NativeTensor>> {
  place(device, 'device', { pinned: false });
  if (!Number.isSafeInteger(atLeast) || atLeast < 0) throw unexpected('atLeast', 'a number of bytes', atLeast);
  if (!usesAddon()) throw new RuntimeError('NOT_SUPPORTED', 'loadInitializers needs the native addon');
  const wanted = (await externalInitializers(model)).filter(({ bytes }) => bytes >= atLeast);
  if (wanted.length === 0) return {};
  const total = wanted.reduce((end, { bytes }) => aligned(end) + bytes, 0);
  const all = NativeTensor.allocate('uint8', [total], { device });
  try {
    const tensors: Record<string, NativeTensor> = {};
    const files = new Map<string, (number | ReturnType<typeof handleOf>)[]>();
    let end = 0;
    for (const { name, type, dims, location, offset, bytes } of wanted) {
      const start = aligned(end);
      end = start + bytes;
      const tensor = viewOf(all, start, type, dims);
      tensors[name] = tensor;
      const parts = files.get(location) ?? [];
      files.set(location, parts);
      parts.push(offset, handleOf(tensor));
    }
    for (const [location, parts] of files) await binding().readFile(join(dirname(model), location), parts);
    return tensors;
  } catch (error) {
    throw fromNative(error, 'loadInitializers');
  } finally {
    all.dispose();
  }
}

/** As cudaMalloc does. */
function aligned(at: number): number {
  return Math.ceil(at / 256) * 256;
}

interface ExternalInitializer {
  readonly name: string;
  readonly type: Exclude<ElementType, 'string'>;
  readonly dims: readonly number[];
  /** Relative to the model's folder, and inside of it. */
  readonly location: string;
  readonly offset: number;
  readonly bytes: number;
}

// Field numbers of onnx.proto.
const MODEL_GRAPH = 7;
const GRAPH_INITIALIZER = 5;
const TENSOR = { dims: 1, type: 2, name: 8, external: 13 } as const;
const ENTRY = { key: 1, value: 2 } as const;

/** A tensor with external data is its description alone. */
const LARGEST_DESCRIPTION = 1 << 16;

async function externalInitializers(model: string): Promise<ExternalInitializer[]> {
  const file = await open(model, 'r').catch((cause: Error) => {
    throw new RuntimeError('MODEL_NOT_FOUND', `loadInitializers: ${cause.message}`, { cause });
  });
  try {
    const { size } = await file.stat();
    const read: ReadRange = async (at, length) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at);
      return buffer.subarray(0, bytesRead);
    };
    const found: ExternalInitializer[] = [];
    for await (const graph of fieldsIn(read, 0, size)) {
      if (graph.number !== MODEL_GRAPH) continue;
      for await (const { number, start, length } of fieldsIn(
        read,
        graph.start,
        Math.min(size, graph.start + graph.length),
      )) {
        if (number !== GRAPH_INITIALIZER || length > LARGEST_DESCRIPTION) continue;
        const tensor = externalInitializer(await read(start, length), model);
        if (tensor !== undefined) found.push(tensor);
      }
    }
    return found;
  } finally {
    await file.close();
  }
}

/** Undefined for data that is inside the model, or of a type that no typed array carries. */
function externalInitializer(bytes: Uint8Array, model: string): ExternalInitializer | undefined {
  const dims: number[] = [];
  const entries = new Map<string, string>();
  let name = '';
  let type: ElementType | undefined;
  for (const { number, start, length } of fieldsOf(bytes)) {
    const content = bytes.subarray(start, start + length);
    if (number === TENSOR.dims) {
      // One alone, or packed.
      for (let at = 0; at < content.length; ) {
        const dim = varint(content, at);
        if (dim === undefined) break;
        dims.push(dim.value);
        at = dim.end;
      }
    } else if (number === TENSOR.type) {
      type = elementTypeOf(varint(content, 0)?.value ?? 0);
    } else if (number === TENSOR.name) {
      name = text(content);
    } else if (number === TENSOR.external) {
      const parts = new Map(
        [...fieldsOf(content)].map((part) => [
          part.number,
          text(content.subarray(part.start, part.start + part.length)),
        ]),
      );
      entries.set(parts.get(ENTRY.key) ?? '', parts.get(ENTRY.value) ?? '');
    }
  }
  const location = entries.get('location');
  if (location === undefined || type === undefined || type === 'string') return undefined;
  const damaged = (what: string) =>
    new RuntimeError('MODEL_LOAD_FAILED', `loadInitializers: ${model}: initializer '${name}': ${what}`);
  const inside = normalize(location);
  if (inside.startsWith('/') || inside.startsWith('..'))
    throw damaged(`its data is outside of the model's folder: ${location}`);
  const size = byteLength(type, elementCount(dims));
  const offset = Number(entries.get('offset') ?? 0);
  const stated = Number(entries.get('length') ?? size);
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(offset) || offset < 0 || stated !== size)
    throw damaged(`its dims need ${size} bytes, the model has ${stated} for it at ${offset}`);
  return { name, type, dims, location: inside, offset, bytes: size };
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
